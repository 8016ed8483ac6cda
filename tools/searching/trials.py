"""Trials: runs of Meta Pseudo Labels, many with one compiled step."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_tf import config
from mpl_tf.data import pipeline
from mpl_tf.data.dataset import Images, Source
from mpl_tf.data.splits import Split
from mpl_tf.formulas import measures
from mpl_tf.networks import parts
from mpl_tf.options import ConfigError
from mpl_tf.runs import building, calibration, callbacks, experiment, folder, repeating
from searching.conditions import Condition
from searching.variants import Variant

# Of each run, beside the accuracy of each network: means over its steps, empty where there is none.
MEASURED = ("pseudo_label_accuracy", "feedback_share", "true_cosine", "true_credited")

# Option -> the one value that trials can have, and why.
_NOT_FOLLOWED = {
    "head_init": ("seed", "a search starts networks anew"),
    "pretrain": ("", "a search has no phase before training"),
    "eval_image_size": (0, "a search measures on images of the size that it trains on"),
    "optimizer": ("sgd", "exact feedback differentiates the student's step, which must be SGD"),
}


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run.

    Attributes:
      condition: under which.
      variant: which.
      options: option name -> value, those that are searched.
      seed: of the run.
    """

    condition: Condition
    variant: Variant
    options: Mapping[str, Any]
    seed: int


class Runner:
    """Runs trials on one dataset; those that differ in their seed alone share a compiled step.

    Args:
      settings: option name -> value, of all runs.
      source: the images.
    """

    def __init__(self, settings: Mapping[str, Any], source: Source):
        self._settings, self._source = dict(settings), source
        self._trainers: dict[str, _Trainer] = {}
        self._starts = _Starts()

    def config(self, trial: Trial) -> config.Config:
        """All settings of a run.

        Raises:
          ConfigError: no run can have them.
        """
        values = {**self._settings, **trial.options, **trial.condition.changes}
        values |= trial.variant.options
        if not trial.variant.has_feedback:
            values.pop("feedback_weight", None)
        labels = trial.condition.per_class * len(self._source.class_names)
        for name in ("labeled_batch", "finetune_batch"):  # of conditions that have more labels
            if name in values:
                values[name] = min(values[name], labels)
        settings = config.make(
            {**values, "method": "mpl", "num_labeled": labels, "seed": trial.seed}
        )
        config.check_data(settings, self._source)
        if self._source.validation is None and not settings.data.num_validation:
            raise ConfigError(
                "options are chosen on validation images, and there are none; set num_validation."
            )
        if self._source.test is None:
            raise ConfigError("a search measures on test images, and there are none.")
        flat = settings.flat()
        for name, (value, reason) in _NOT_FOLLOWED.items():
            if flat[name] != value:
                raise ConfigError(f"{reason}; leave {name}={flat[name]} out.")
        return settings

    def run(self, trial: Trial, part: str) -> dict[str, float]:
        """A run from its start.

        Args:
          trial: which.
          part: "validation" or "test", of whose images accuracies are.

        Returns:
          Name of a network -> accuracy, a share; and those of `MEASURED` that there are.

        Raises:
          callbacks.NonFiniteError: a number became NaN or infinite.
        """
        settings = self.config(trial)
        split = experiment.make_split(settings, self._source)
        split = trial.condition.damage(split, trial.seed)
        first = _with_run(settings, seed=0)  # of all seeds alike
        key = repr((len(split.class_names), trial.variant.name, sorted(first.flat().items())))
        if key not in self._trainers:
            self._trainers[key] = _Trainer(first, split, trial.variant)
        return self._trainers[key].run(settings, split, self._starts, part)


class _Trainer:
    """A compiled method that is trained again and again from the start.

    Args:
      settings: of the runs, but for their seed.
      split: of any of them.
      variant: what the teacher learns from the student.
    """

    def __init__(self, settings: config.Config, split: Split, variant: Variant):
        self._experiment = experiment.build(settings, split, path="")
        method = self._experiment.method
        shape = method.student.input_shape[1:]
        self._others = (
            tf.Variable(tf.zeros([0, *shape]), shape=[None, *shape]),
            tf.Variable(tf.zeros([0], tf.int32), shape=[None]),
        )
        method.estimator = variant.estimator(method, self._others)
        self._tuner = building.finetuning_phase(settings, method)
        method.drop_finetuned()  # the method would warn of it; the tuner keeps the network
        optimizers = (
            method.student_optimizer,
            method.teacher_optimizer,
            self._tuner.network_optimizer,
        )
        # Counters, momenta, states of dropout, too.
        owners = method, self._tuner, *optimizers
        self._start = repeating.Start(v for owner in owners for v in owner.variables)

    def run(
        self, settings: config.Config, split: Split, starts: "_Starts", part: str
    ) -> dict[str, float]:
        """As `Runner.run`, of a split with whatever is done to it."""
        self._start.restore()
        run = dataclasses.replace(self._experiment, config=settings, split=split)
        if run.features is not None and run.features.missing(run.requests()):
            run.prepare()
        method = run.method
        method.seed.assign(building.derived_seed(settings.run.seed, "method"))
        starts.give(settings, split, method.networks, is_head=settings.is_cached)
        if split.validation is not None:
            self._keep_others(run.seen(split.validation))
        logs = repeating.fit(run, method, folder.TRAIN, settings.run.steps)
        networks = dict(method.networks)
        if settings.run.finetune_steps:
            _assign(self._tuner.network, method.ema.variables)
            repeating.fit(run, self._tuner, folder.FINETUNE, settings.run.finetune_steps)
            networks["finetuned"] = self._tuner.network
        images = getattr(split, part)
        result = _accuracies(calibration.logits(networks, run.seen(images)), images.labels)
        return result | {name: logs[name] for name in MEASURED if name in logs}

    def _keep_others(self, images: Images) -> None:
        batches = list(pipeline.evaluation_batches(images))
        self._others[0].assign(np.concatenate([pixels for pixels, _ in batches]))
        self._others[1].assign(np.concatenate([labels for _, labels in batches]))


class _Starts:
    """What networks start from, by what they are made of: to build them takes longer than a run.

    That is all their variables: weights, and the states of dropout.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[Any, ...], list[np.ndarray]] = {}

    def give(
        self, settings: config.Config, split: Split, networks: Mapping[str, Any], is_head: bool
    ) -> None:
        """Sets the weights of `networks` to those that a run with these settings starts from."""
        classes, run = len(split.class_names), settings.run
        made_of = run.seed, run.network, run.teacher_network, run.dropout, run.steps
        height, width, channels = split.labeled.shape
        shape = height, width, channels
        for role in ("teacher", "student"):
            key = classes, shape, role, made_of, settings.network, settings.compute
            if key not in self._values:
                built = building.network(settings, classes, shape, role)
                network = parts.head(built) if is_head else built
                self._values[key] = [v.numpy() for v in network.variables]
            _assign(networks[role], self._values[key])
        if settings.network.student_init == "teacher":
            networks["student"].set_weights(networks["teacher"].get_weights())
        _assign(networks["ema"], networks["student"].variables)


def _accuracies(logits: Mapping[str, np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """Name of a network -> accuracy, a share; raises NonFiniteError if a logit is not finite."""
    if bad := [name for name, values in logits.items() if not np.isfinite(values).all()]:
        raise callbacks.NonFiniteError(f"logits of {', '.join(bad)} are NaN or infinite")
    return {name: measures.accuracy(values, labels) for name, values in logits.items()}


def _assign(network: keras.Model, values: Iterable[Any]) -> None:
    for variable, value in zip(network.variables, values, strict=True):
        variable.assign(value)


def _with_run(settings: config.Config, **changes: Any) -> config.Config:
    return dataclasses.replace(settings, run=dataclasses.replace(settings.run, **changes))
