"""A candidate's answers on held-out images: what it is trained on does not contain them.

Where the dataset has validation images, one network is trained on all labels. Else there is one for
each fold of labels, trained without them: held-out images are not among the unlabeled ones either,
so that what is measured holds for images that nobody has seen.
"""

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterator

import keras
import numpy as np

from mpl_tf import config
from mpl_tf.auto import answers
from mpl_tf.auto.material import Material
from mpl_tf.console import log
from mpl_tf.data import splits
from mpl_tf.data.dataset import Images
from mpl_tf.data.splits import Split
from mpl_tf.features import folds as folding
from mpl_tf.features.views import PLAIN
from mpl_tf.runs import (
    building,
    calibration,
    callbacks,
    experiment,
    folder,
    head_start,
    repeating,
)


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came out.

    Attributes:
      logits: float32 [H, K], of `Material.held_out`.
      seconds_a_fold: that a network took to be trained; None if all were there.
    """

    logits: np.ndarray
    seconds_a_fold: float | None


def answer(
    settings: config.Config,
    material: Material,
    stem: str,
    pace: Callable[[float], None] = lambda seconds: None,
) -> Trial:
    """Trains a candidate without held-out images, and has it answer them.

    What a fold's network answers is written as soon as it is there, so that a candidate that was
    interrupted goes on with the folds that are left. These files stay: who has written the whole
    removes them.

    Args:
      settings: of the candidate.
      material: the images.
      stem: how the paths of the files of folds begin.
      pace: is told, now and then, how many seconds the rest is going to take, and may raise.

    Raises:
      ConfigError: the candidate cannot be computed, or there is no room for its features.
      callbacks.NonFiniteError: a loss or a logit became NaN or infinite.
      OSError: a file cannot be written.
    """
    parts = splits_of(settings, material)
    names = answers.of_folds(stem, len(parts))
    logits, repeated = {}, None
    durations: list[float] = []
    for number, (split, held_out) in enumerate(parts):
        if (saved := answers.read(names[number])) is not None:
            logits[number] = saved
            continue
        if repeated is None:
            repeated = _Repeated(settings, split, f"{stem}-run")
            repeated.prepare(material)
        todo = sum(not os.path.exists(name) for name in names[number:])
        start = time.perf_counter()
        logits[number] = repeated.answer(split, held_out, _Pace(pace, settings, todo))
        durations.append(time.perf_counter() - start)
        answers.write(names[number], logits[number])
    whole = _in_order(material, [logits[number] for number in range(len(parts))])
    return Trial(whole, float(np.mean(durations)) if durations else None)


def answered(material: Material) -> list[Images]:
    """The images of which all trainings together answer some, with those that are trained on."""
    validation = material.source.validation
    return [material.source.train if validation is None else validation]


def splits_of(settings: config.Config, material: Material) -> list[tuple[Split, Images]]:
    """(what is trained on, the images that are answered) of each network."""
    if (validation := material.source.validation) is not None:
        return [(experiment.make_split(settings, material.source), validation)]
    parts = []
    for number in range(folding.count(material.folds)):
        ids = material.source.train.ids
        of_fold = material.folds == number
        split = splits.split(
            material.source,
            0,
            0,
            settings.run.seed,
            exclude_labeled=settings.data.exclude_labeled,
            ids={"labeled": ids[~of_fold].tolist(), "validation": ids[of_fold].tolist()},
        )
        assert split.validation is not None
        parts.append((split, split.validation))
    return parts


def _in_order(material: Material, parts: list[np.ndarray]) -> np.ndarray:
    """The logits of all networks, in the order of `Material.held_out`."""
    folds = material.folds_of_held_out()
    if folds is None:
        return parts[0]
    whole = np.zeros([len(folds), material.num_classes], np.float32)
    for number, logits in enumerate(parts):
        whole[folds == number] = logits
    return whole


class _Repeated:
    """A candidate whose training is traced once and done for several splits.

    Args:
      settings: of the candidate.
      split: the first of them.
      path: of a run that there is not, and is not going to be.
    """

    def __init__(self, settings: config.Config, split: Split, path: str):
        self._settings, self._path = settings, path
        self._experiment = experiment.build(settings, split, path)
        self._start = repeating.Start(self._variables())
        self._begun, self._is_reset = False, True

    def _variables(self) -> Iterator[keras.Variable]:
        """All that training changes, as far as it is the same object in every training."""
        method = self._experiment.method
        yield from method.variables
        for name in method.optimizers:
            yield from getattr(method, name).variables

    def prepare(self, material: Material) -> None:
        """Computes the features of all splits that are not there yet."""
        features = self._experiment.features
        if features is None:
            return
        everything = experiment.make_split(self._settings, material.source)
        whole = dataclasses.replace(self._experiment, split=everything)
        requests = [*whole.requests(), *((PLAIN, images) for images in answered(material))]
        if features.missing(requests):
            features.prepare(requests)

    def answer(self, split: Split, images: Images, pace: "_Pace") -> np.ndarray:
        """Trains on a split from the beginning; returns logits [n, K] of images."""
        self._begin(split)
        trained = self._experiment
        with _quiet():
            head_start.start(trained)
        method, run = trained.method, self._settings.run
        earlier = method.pretraining_phases()
        self._is_reset = not earlier  # they keep networks of their own
        for phase, trainer in {**earlier, folder.TRAIN: method}.items():
            repeating.fit(trained, trainer, phase, run.steps, [pace])
        if run.finetune_steps:
            tuning = building.finetuning_phase(self._settings, method)
            repeating.fit(trained, tuning, folder.FINETUNE, run.finetune_steps, [pace])
        networks = {method.delivered: method.network()}
        (logits,) = calibration.logits(networks, trained.seen(images)).values()
        if not np.all(np.isfinite(logits)):
            raise callbacks.NonFiniteError("a logit is NaN or infinite")
        return logits

    def _begin(self, split: Split) -> None:
        """Puts the split in place, and all weights where they were at first."""
        if self._begun and self._is_reset:
            self._experiment.method.drop_finetuned()
            self._start.restore()
        elif self._begun:
            self._experiment = experiment.build(self._settings, split, self._path)
        self._experiment = dataclasses.replace(self._experiment, split=split)
        self._begun = True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """While this lasts, the log has warnings alone: what a run says is no news in each fold."""
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


class _Pace(keras.callbacks.Callback):
    """Tells how long the rest of a candidate is going to take.

    Args:
      tell: is told the seconds, and may raise.
      settings: of the candidate.
      trainings: that are left, this one included.
    """

    _EVERY, _FIRST = 10, 3  # steps between two tellings; and which are not counted: they trace

    def __init__(self, tell: Callable[[float], None], settings: config.Config, trainings: int):
        super().__init__()
        self._tell = tell
        self._steps = trainings * (settings.run.steps + settings.run.finetune_steps)
        self._done, self._start = 0, 0.0

    def on_train_batch_end(self, batch: int, logs: callbacks.Logs = None) -> None:
        self._done += 1
        if self._done == self._FIRST:
            self._start = time.perf_counter()
        elif self._done > self._FIRST and (self._done - self._FIRST) % self._EVERY == 0:
            seconds = (time.perf_counter() - self._start) / (self._done - self._FIRST)
            self._tell(seconds * max(0, self._steps - self._done))
