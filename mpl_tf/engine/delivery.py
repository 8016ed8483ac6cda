"""What a method delivers: its moving average, a finetuned copy of it, or what is chosen."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any, ClassVar

import h5py
import keras
import numpy as np
import tensorflow as tf

from mpl_tf.console import log
from mpl_tf.engine import calibration, image_arguments
from mpl_tf.engine.batches import wrong_labels
from mpl_tf.engine.forward import to_float32
from mpl_tf.engine.label_training import LabelTraining
from mpl_tf.engine.roles import ROLES
from mpl_tf.engine.trainer import Trainer
from mpl_tf.engine.user_networks import copy_network
from mpl_tf.formulas.calibration import determined_temperature
from mpl_tf.networks.freezing import set_classifier_trained

# What finetuning may train.
PARTS = ("all", "classifier")


class Delivery(Trainer):
    """Abstract: a trainer of a student that is predicted with by its moving average.

    Attributes:
      teacher, student, ema: keras.Model of logits; a method without a teacher has None.
      finetuned: the finetuned copy of `ema`, None before `finetune` and after more training.
    """

    registered_name: ClassVar[str] = ""
    config: Any
    teacher: keras.Model | None
    student: keras.Model
    ema: keras.Model
    finetuned: keras.Model | None = None
    _chosen = ""

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Those of `roles.ROLES` that exist, by name."""
        networks = self.teacher, self.student, self.ema, self.finetuned
        pairs = zip(ROLES, networks, strict=True)
        return {role: network for role, network in pairs if network is not None}

    def starting_networks(self) -> Iterator[tuple[str, keras.Model]]:
        """("teacher" or "student", network) of all networks before the first step, copies too."""
        if self.teacher is not None:
            yield "teacher", self.teacher
        yield "student", self.student
        yield "student", self.ema

    @property
    def delivered(self) -> str:
        """Which of them `call`, `predict` and `export` use: "finetuned", or "ema" before that.

        Or what `deliver` was called with last.
        """
        return self._chosen or ("ema" if self.finetuned is None else "finetuned")

    def deliver(self, which: str) -> None:
        """Has `call`, `predict` and `export` use another network, until more is trained.

        Args:
          which: "teacher", "student", "ema" or "finetuned".

        Raises:
          ValueError: there is no such network, or none yet.
        """
        self.network(which)
        self._chosen = which
        self.test_function = self.predict_function = None  # both were traced with another

    def network(self, which: str | None = None) -> keras.Model:
        """The network called `which`, on images as it is evaluated; None is the delivered one.

        Raises:
          ValueError: there is no such network, or none yet.
        """
        which = which or self.delivered
        if which not in self.networks:
            raise ValueError(f"which must be one of {', '.join(self.networks)}; received {which}.")
        return self.evaluated_networks()[which]

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Class probabilities [N, K] of images [N, H, W, C]."""
        if not training:
            return tf.nn.softmax(to_float32(self.forward.evaluated(self.network(), images)))
        return tf.nn.softmax(to_float32(self.network()(images, training=True)))

    def finetuning_phase(
        self, optimizer: Any, part: str = PARTS[0], **compile_arguments: Any
    ) -> LabelTraining:
        """A compiled trainer of a fresh copy of `ema`, which becomes `finetuned`.

        The copy takes images of the size at which networks are evaluated.

        Args:
          optimizer: what `keras.optimizers.get` takes.
          part: "all", what training trains; or "classifier", as `set_classifier_trained` says, with
            batch statistics that start anew. This is FixRes (Touvron et al. 2019).
          **compile_arguments: for LabelTraining.compile.

        Raises:
          ValueError: there is no such part.
        """
        if part not in PARTS:
            raise ValueError(f"part must be {' or '.join(PARTS)}; received {part!r}.")
        self._hold_finetuned()
        if part == "classifier":
            set_classifier_trained(self.finetuned)
        tuning = LabelTraining(
            self.finetuned,
            "finetuned",
            class_weight=self.config.class_weight,
            logit_adjustment=self.config.logit_adjustment,
            strategy=self.distribute_strategy,
            trained_before=part == "all",
        )
        tuning.compile(optimizer, **compile_arguments)
        return tuning

    def finetune(
        self,
        x: tf.data.Dataset,
        *,
        steps: int,
        optimizer: Any = None,
        part: str = PARTS[0],
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
        backbone_rate: float = 1.0,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Finetunes a copy of `ema` on labeled images; afterwards it is what is predicted with.

        Args:
          x: tf.data.Dataset without end, of dicts with `label` and `labeled`, images of the size at
            which networks are evaluated.
          steps: optimizer steps.
          optimizer: what `keras.optimizers.get` takes; None is SGD(1e-5), the paper's.
          part: as for `finetuning_phase`.
          clip_norm, weight_decay, backbone_rate: as in `compile`.
          **kwargs: for keras.Model.fit: `callbacks`, `verbose`, `validation_data`.
        """
        if optimizer is None:
            with self.distribute_strategy.scope():
                optimizer = keras.optimizers.SGD(1e-5)
        tuning = self.finetuning_phase(
            optimizer,
            part,
            clip_norm=clip_norm,
            weight_decay=weight_decay,
            backbone_rate=backbone_rate,
            stages=self.stages,
        )
        return tuning.fit(x, steps_per_epoch=steps, epochs=1, **kwargs)

    def _hold_finetuned(self) -> None:
        self._chosen = ""
        with self.distribute_strategy.scope():
            self.finetuned = copy_network(self.network("ema"))
        self.test_function = self.predict_function = None  # both were traced without it

    def drop_finetuned(self) -> None:
        """Delivers `ema` again, if there is a finetuned copy of what it was before."""
        self._chosen = ""
        if self.finetuned is not None:
            self._tracker.untrack(self.finetuned)  # which Keras's `del` leaves to the caller
            del self.finetuned
            self.test_function = self.predict_function = None

    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """keras.Model.load_weights; afterwards there is a finetuned network if the file has one.

        Args:
          filepath: of `save_weights`, ending in `.weights.h5`.
          *args, **kwargs: for keras.Model.load_weights.
        """
        if os.path.isfile(filepath) and h5py.is_hdf5(filepath):
            with h5py.File(filepath) as file:
                has_finetuned = "finetuned" in file
            if has_finetuned and self.finetuned is None:
                self._hold_finetuned()
            elif not has_finetuned:
                self.drop_finetuned()
        super().load_weights(filepath, *args, **kwargs)

    def fit_temperature(self, x: Any, y: Any = None, *, which: str | None = None) -> float:
        """The temperature at which a network is as sure as it is right, to be given to `export`.

        Of these images the mean cross entropy of softmax(logits / temperature) is least (Guo et al.
        2017, section 4.2). It changes no answer, and nothing in the model: `predict` and `evaluate`
        go on without it.

        Args:
          x: images [N,H,W,C] that were not trained on, or a tf.data.Dataset of batches (images,
            label).
          y: class ids [N]; None of a Dataset.
          which: "teacher", "student", "ema" or "finetuned"; None is the delivered one.

        Returns:
          Greater than 1 for a network that is too sure. 1 where the images determine none, because
          all are answered right or not more than by chance; the log says so.

        Raises:
          ValueError: there is no such network, or labels or images do not fit it.
        """
        which = which or self.delivered
        network = self.network(which)
        image_arguments.check_labeled("fit_temperature", x, y, {which: network}, self.trained_on)
        if not isinstance(x, tf.data.Dataset):
            if len(x) != len(y):
                raise ValueError(f"fit_temperature received {len(x)} images and {len(y)} labels.")
            x = tf.data.Dataset.from_tensor_slices((x, y)).batch(500)
        labels = np.concatenate([np.ravel(label) for _, label, *_ in x])
        if (wrong := wrong_labels(labels, network.output_shape[-1])).size:
            raise ValueError(f"labels must be class ids; fit_temperature received {wrong[0]}.")
        logits = calibration.logits(network, (images for images, *_ in x))
        logits = logits.reshape(-1, logits.shape[-1])  # of several classifiers at once
        temperature, reason = determined_temperature(logits, labels.astype(np.int64))
        if reason:
            log.warning(f"The temperature stays 1: {reason}")
        return temperature

    def export(
        self,
        filepath: str | os.PathLike[str],
        class_names: Any = None,
        *,
        which: str | None = None,
        bfloat16: bool = False,
        temperature: float = 1.0,
    ) -> str:
        """Writes a network as a SavedModel, in the next free version; see `saved_model.export`.

        Args:
          filepath: the folder of the versions, as TensorFlow Serving wants it.
          class_names: sequence of str, one a class; None names them "0", "1", ...
          which: "teacher", "student", "ema" or "finetuned"; None is the delivered one.
          bfloat16: whether weights are stored with 16 bits.
          temperature: what the export divides logits by, of `fit_temperature`; 1 changes nothing.

        Returns:
          The folder that was written, `filepath`/<version>.

        Raises:
          ValueError: there is no such network, or none yet.
        """
        from mpl_tf.serving import saved_model

        if self.trained_range and (self.trained_range[0] < 0 or self.trained_range[1] <= 1):
            low, high = self.trained_range
            log.warning(
                f"Warning: the networks were trained on images from {low:.3g} to {high:.3g}; an "
                "export gives its network values from 0 to 255. Let the network scale them itself: "
                "begin it with keras.layers.Rescaling, and train on values from 0 to 255."
            )
        return saved_model.export(
            self.network(which),
            filepath,
            class_names,
            config={
                "method": self.registered_name or type(self).__name__,
                **dataclasses.asdict(self.config),
            },
            about={"network": which or self.delivered},
            bfloat16=bfloat16,
            temperature=temperature,
        )
