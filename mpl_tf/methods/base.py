"""What all methods share: networks, EMA, finetuning, prediction, export."""

import dataclasses
import types

import keras
import tensorflow as tf

from mpl_tf import saved_model, schedules
from mpl_tf.logits import check_logits
from mpl_tf.methods.engine import Engine
from mpl_tf.methods.label_training import LabelTraining
from mpl_tf.methods.passes import wide
from mpl_tf.metrics import ClassShares
from mpl_tf.options import check, option

# Idle options of a method whose student is its only network.
NO_TEACHER = frozenset(
    {"student_wait_steps", "teacher_learning_rate", "teacher_warmup_steps", "teacher_network"}
)
# Those of a method without strong views.
NO_STRONG_VIEW = frozenset(
    {"strong", "randaugment_layers", "randaugment_magnitude", "autoaugment_policy", "cutout"}
)


@dataclasses.dataclass(frozen=True)
class MethodConfig:
    """Abstract: the hyperparameters that every method has."""

    label_smoothing: float = option(
        0.15, "Label smoothing of supervised and pseudo-label losses, in [0, 1).", low=0, below=1
    )
    ema_decay: float = option(
        0.995, "Decay of the moving average of the student's weights, in [0, 1).", low=0, below=1
    )

    def __post_init__(self):
        check(self)


class Method(Engine):
    """Abstract: trains a `student`, and keeps `ema`, the moving average of its weights.

    A concrete method is one file with a Config and a final class that defines `optimizers`,
    `unlabeled_views`, `train_logs` and `train_step`.

    Attributes:
      Config: dataclass of its hyperparameters, with help texts and ranges.
      optimizers: tuple of str, the optimizers that `compile` takes.
      unlabeled_views: tuple of str, the unlabeled views in a batch: "weak", "strong", more of them
        that are drawn apart, "weak_2", ..., "strong_2", ..., and "index" [U], the images' places in
        the pool. A method with "index" takes a constructor argument `num_unlabeled`, its size.
      idle_options: set of str, options of runs and optimizers that mean nothing to the method.
      defaults: dict of option name -> default, for options of runs, data and optimizers whose
        default differs for the method; see `config.make`. Rates are per 256 labeled images.
      cost: str, the images that go through networks in a step, forward and backward if it says
        nothing else: B labeled and U unlabeled ones.
      step, seed: int64 variables, training steps taken, and the seed of what a step draws.
      finetuned: the finetuned copy of `ema`, None before `finetune`.
    """

    Config = MethodConfig
    optimizers = ("student_optimizer",)
    unlabeled_views = ()
    idle_options = frozenset()
    defaults = types.MappingProxyType({})
    cost = ""

    def __init__(self, config, student, teacher=None, *, seed, strategy, train_logs):
        super().__init__(strategy, train_logs, name=type(self).__name__)
        self.config = config
        self.teacher, self.student, self.finetuned = teacher, student, None
        for role, network in self.networks.items():
            if not isinstance(network, keras.Model) or not network.built:
                raise ValueError(f"{role} must be a built keras.Model; received {network!r}.")
            check_logits(network, role)
        if teacher is student:
            raise ValueError("teacher and student must be two networks; received the same object.")
        if teacher is not None and teacher.output_shape != student.output_shape:
            raise ValueError(
                "teacher and student must give logits of the same shape; "
                f"received {teacher.output_shape} and {student.output_shape}."
            )
        with self.distribute_strategy.scope():
            self.ema = self._copy(student)
            if self.unlabeled_views:
                shares = ClassShares(student.output_shape[-1], name="pseudo_label_shares")
                self.pseudo_label_shares = shares
            # Variables, so that a compiled step follows them: (seed, step) name all that it draws.
            scalar = {"shape": (), "dtype": "int64", "trainable": False}
            self.step = self.add_weight(name="step", initializer="zeros", **scalar)
            self.seed = self.add_weight(name="seed", initializer="zeros", **scalar)
            self.seed.assign(seed)

    @property
    def networks(self):
        every = {
            "teacher": self.teacher,
            "student": self.student,
            "ema": getattr(self, "ema", self.student),
            "finetuned": self.finetuned,
        }
        return {name: network for name, network in every.items() if network is not None}

    def preparations(self):
        """dict of phase name -> compiled Engine that is to be fitted on labels before this one."""
        return {}

    @property
    def deliverable(self):
        """The network that `call`, `predict` and `export` use: finetuned, or ema before that."""
        return self.named()[1]

    @staticmethod
    def _copy(network):
        twin = keras.models.clone_model(network)
        twin.set_weights(network.get_weights())
        return twin

    def call(self, images, training=False):
        """Class probabilities [N, K] of images [N, H, W, C]."""
        return tf.nn.softmax(wide(self.deliverable(images, training=training)))

    def log_pseudo_labels(self, probs, batch):
        """Logs what was taught: class shares, and accuracy where hidden labels are known.

        Args:
          probs: floating [U, K], the pseudo labels.
          batch: dict; `hidden_label` [U], the true classes where they are known and -1 elsewhere,
            is read here and nowhere else.
        """
        self.pseudo_label_shares.update_state(probs)
        if "hidden_label" in batch:
            hidden = tf.cast(batch["hidden_label"], tf.int64)
            right = tf.cast(tf.equal(tf.argmax(probs, axis=-1), hidden), tf.float32)
            known = tf.cast(hidden >= 0, tf.float32)
            self.log(
                pseudo_label_accuracy=tf.math.divide_no_nan(
                    tf.reduce_sum(right), tf.reduce_sum(known)
                )
            )

    def draw_seed(self):
        """int64 [2], the seed of what this step draws; [0, 1] to [0, 7] more are its own too."""
        return tf.stack([tf.convert_to_tensor(self.seed), 8 * self.step])

    def update_ema(self):
        """ema <- d * ema + (1 - d) * student for all weights, batch statistics included."""
        decay = schedules.ema_decay(self.step, self.config.ema_decay)
        for average, value in zip(self.ema.weights, self.student.weights, strict=True):
            d = tf.cast(decay, value.dtype)
            average.assign(d * average + (1 - d) * value)

    def prepare_finetuning(self, optimizer, **compile_arguments):
        """A compiled engine that trains a fresh copy of `ema`, which becomes `finetuned`.

        Args:
          optimizer: keras.optimizers.Optimizer.
          **compile_arguments: for LabelTraining.compile.

        Returns:
          LabelTraining.
        """
        with self.distribute_strategy.scope():
            self.finetuned = self._copy(self.ema)
        self.test_function = self.predict_function = None  # both were traced without it
        tuning = LabelTraining(self.finetuned, "finetuned", strategy=self.distribute_strategy)
        tuning.compile(optimizer, **compile_arguments)
        return tuning

    def finetune(self, x, *, steps, optimizer=None, clip_norm=None, weight_decay=0.0, **kwargs):
        """Finetunes a copy of `ema` on labeled images; afterwards it is what is predicted with.

        Args:
          x: tf.data.Dataset without end, of dicts with `labeled` and `label`, as `fit` takes.
          steps: int, optimizer steps.
          optimizer: keras.optimizers.Optimizer; None is SGD(1e-5), the paper's.
          clip_norm, weight_decay: as in `compile`.
          **kwargs: for keras.Model.fit: `callbacks`, `verbose`, `validation_data`.

        Returns:
          keras.callbacks.History.
        """
        if optimizer is None:
            with self.distribute_strategy.scope():
                optimizer = keras.optimizers.SGD(1e-5)
        tuning = self.prepare_finetuning(optimizer, clip_norm=clip_norm, weight_decay=weight_decay)
        return tuning.fit(x, steps_per_epoch=steps, epochs=1, **kwargs)

    def named(self, which=None):
        """(name, network) of "teacher", "student", "ema" or "finetuned"; None: the deliverable.

        Raises:
          ValueError: there is no such network, or none yet.
        """
        if which is None:
            which = "ema" if self.finetuned is None else "finetuned"
        if which not in self.networks:
            raise ValueError(f"which must be one of {', '.join(self.networks)}; received {which}.")
        return which, self.networks[which]

    def export(self, filepath, class_names=None, *, which=None, bfloat16=False):
        """Writes a network as a SavedModel, in the next free version; see `saved_model.export`.

        Args:
          filepath: str, the folder of the versions, as TensorFlow Serving wants it.
          class_names: sequence of str, one a class; None names them "0", "1", ...
          which: "teacher", "student", "ema" or "finetuned"; None is the deliverable.
          bfloat16: bool, whether weights are stored with 16 bits.

        Returns:
          str, the folder that was written, `filepath`/<version>.
        """
        which, network = self.named(which)
        return saved_model.export(
            network,
            filepath,
            class_names,
            config={"method": type(self).__name__, **dataclasses.asdict(self.config)},
            about={"network": which},
            bfloat16=bfloat16,
        )
