"""Reduced Meta Pseudo Labels (Pham et al., CVPR 2021, arXiv 2003.10580, appendix E)."""

import dataclasses
from typing import Any, ClassVar, final

import keras
import tensorflow as tf

from mpl_tf.engine import adjuster
from mpl_tf.engine.feedback_method import FEEDBACK_PANELS, FeedbackConfig
from mpl_tf.engine.panel import Panel
from mpl_tf.engine.stored_teacher import StoredTeacherMethod
from mpl_tf.engine.student import Batch
from mpl_tf.engine.update import inner_optimizer
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class ReducedMPLConfig(FeedbackConfig):
    """Hyperparameters of ReducedMPL; those of its small network are this project's."""

    adjuster_layers: int = option(
        2, "Hidden layers of the small network that adjusts stored predictions.", low=1, high=20
    )
    adjuster_units: int = option(128, "Units of each of its hidden layers.", low=1, high=10**5)


@final
class ReducedMPL(StoredTeacherMethod):
    """Meta Pseudo Labels with one large network in memory: a small one plays the teacher.

        1  T <- optimizer_T(T, grad_T mean CE(smooth(label), T(labeled)))        phase "teacher"
        2  P_i = softmax(T(image_i)) of each unlabeled image, without augmentation, in float16;
           T is let go of
        3  pseudo_label = drawn from, or equal to, softmax(log P_i + R(P_i))     phase "train"
           S <- optimizer_S(S, grad_S [ mean CE(smooth(pseudo_label), S(strong))
                     + student_supervised_weight * mean CE(smooth(label), S(labeled)) ])
           R <- optimizer_R(R, grad_R feedback_weight * scale * feedback term)
           ema <- d * ema + (1 - d) * S

    In a run `--predictions=FOLDER` has P of any model, as `python -m mpl_tf.predict --to=FOLDER`
    stores it, in place of 1 and 2:

        python -m mpl_tf.train --dataset=digits --method=reduced_mpl --predictions=FOLDER

    R, an MLP with a last layer that starts at 0, has the feedback of `MetaPseudoLabels`, by the
    same estimators. At first softmax(log P + R(P)) = P: the student learns the stored labels.

    The paper says that the large teacher is trained first, that its predictions are computed before
    the student is trained, and that an MLP, the reduced teacher, takes them and gives the
    distribution that the student learns; and that most of what it does is close to the identity.
    It does not say what the MLP looks like, how it begins and is optimized, and whether it learns
    from labels, too. Here it adds to the logarithms of what it takes, so that 0 is the identity and
    weight decay leads there; its optimizer is like the student's; it learns from feedback alone.
    Labels are those of images without augmentation, and the student sees the strong view. The
    paper has "sampled" feedback; the default is "exact", as in `MetaPseudoLabels`.

    Args:
      teacher: built keras.Model of logits [N, K]; None if `take_predictions` gets stored ones of
        another model, by which phase "teacher" falls away.
      student: another one, with its own weights; the architecture may differ.
      num_unlabeled: images in the pool; their predictions take 2 * num_unlabeled * K bytes, in a
        run on the disk.
      seed: from which, with the step, pseudo labels are drawn, and R's weights.
      strategy: tf.distribute.Strategy of the networks; None is the current one.
      **hyperparameters: fields of ReducedMPLConfig.

    Example:
        data = mpl_tf.data.pair((images, labels), labeled_batch=8, method=mpl_tf.ReducedMPL)
        build = mpl_tf.NETWORKS["small"]
        teacher = build(4, images.shape[1:], seed=1)
        student = build(4, images.shape[1:], seed=2)
        model = mpl_tf.ReducedMPL(teacher, student, num_unlabeled=data.num_unlabeled)
        model.compile(student_optimizer="sgd", teacher_optimizer="sgd")
        model.pretrain(data, steps=100)
        del teacher  # `fit` stores its predictions and lets go of it, too
        model.fit(data, steps_per_epoch=100)
        probabilities = model.predict(images)
    """

    Config = ReducedMPLConfig
    config: ReducedMPLConfig
    passes_per_step = (
        "teacher B, as many steps before, and all unlabeled images forward once; student U; for "
        "feedback: student B, exact: U once more"
    )
    panels = (
        *FEEDBACK_PANELS,
        Panel("Probability that the small network moves", {"adjustment": "share"}, low=0.0),
    )
    remedies: ClassVar = {"collapse": "a smaller feedback_weight"}

    def __init__(
        self,
        teacher: keras.Model | None,
        student: keras.Model,
        *,
        num_unlabeled: int | None = None,
        seed: int = 0,
        strategy: tf.distribute.Strategy | None = None,
        **hyperparameters: Any,
    ):
        super().__init__(
            teacher,
            student,
            num_unlabeled=num_unlabeled,
            seed=seed,
            strategy=strategy,
            **hyperparameters,
        )
        c = self.config
        with self.distribute_strategy.scope():
            self.adjuster = adjuster.build(student, c.adjuster_layers, c.adjuster_units, seed)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As StoredTeacherMethod.compile; the small network has an optimizer like the student's."""
        super().compile(*args, **kwargs)
        students = keras.optimizers.serialize(inner_optimizer(self.student_optimizer))
        with self.distribute_strategy.scope():
            fresh = keras.optimizers.get(students)
        self.adjuster_optimizer = self.own_optimizer(fresh, self.adjuster, "adjuster_optimizer")

    def train_step(self, batch: Batch) -> None:
        """One step of the student and of the small network.

        Args:
          batch: dict of `labeled` [B,H,W,C] images, `label` [B] integer class ids, `strong`
            [U,H,W,C] views of unlabeled images, and `prediction` float16 [U, K], the stored ones.
        """
        before, variables = self.sharpness.before(self), self.adjuster.trainable_variables
        stored = tf.cast(batch["prediction"], self.adjuster.inputs[0].dtype)
        with tf.GradientTape() as tape:
            # The small network adjusts the labels of the large one.
            logits = self.adjusted(stored)  # [U, K]
            pseudo_label = tf.stop_gradient(self.estimator.label(logits))  # [U, K]
            with tape.stop_recording():
                # The student steps on those labels. How much did that help on labeled images?
                step = self.step_student(batch, pseudo_label)
                credit = self.estimator.credit(step)
            # The small network steps on the feedback.
            loss = self.estimator.loss(step, credit, logits)
            scaled = self.adjuster_optimizer.scale_loss(loss)
        self.log_pseudo_labels(pseudo_label, batch)
        self.log(adjustment=tf.reduce_mean(adjuster.moved(stored, logits)))
        if tf.is_tensor(loss):
            self.log(
                adjuster_loss=loss, adjuster_learning_rate=self.adjuster_optimizer.learning_rate
            )
            gradient = self.sharpness.gradient(
                self,
                self.adjuster_optimizer,
                self.adjuster,
                tape.gradient(scaled, variables),
                before,
                lambda: self.estimator.loss(step, credit, self.adjusted(stored)),
            )
            self.update(self.adjuster_optimizer, gradient, variables)
        self.update_ema()
        self.step.assign_add(1)

    def adjusted(self, stored: tf.Tensor) -> tf.Tensor:
        """Logits [U, K] of the labels that the small network makes of stored ones [U, K]."""
        (shift,) = self.forward(self.adjuster, stored)
        return adjuster.logarithms(stored) + shift
