"""The candidates, one after the other, as long as there is time: what each answers."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from mpl_tf import config, console, data, files
from mpl_tf.auto import answers as of_candidates
from mpl_tf.auto import estimates, forecast, recipes, regression, trial
from mpl_tf.auto.ladder import Ladder, PassedOverError, Rung, TooLongError
from mpl_tf.auto.material import Material
from mpl_tf.auto.recipes import Recipe
from mpl_tf.console import log
from mpl_tf.data import views
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError
from mpl_tf.runs import building, cached, callbacks, experiment, faults

# Folder of what candidates answer.
ANSWERS = "held_out"
# Why, in the journal: in a training without held-out images, and in that on all labels.
_FAILED, _NOT_TRAINED = "failed", "failed_on_all_labels"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What candidates there are beside logistic regression.

    Attributes:
      common: option name -> value, of what all of them share.
      recipes: those that need nothing of one another, in the order in which they are tried.
      layers: of the network with learned weights, that can be trained beside the head; 0 of other
        networks, which are trained as a whole.
    """

    common: Mapping[str, Any]
    recipes: Sequence[Recipe]
    layers: int


class Contest:
    """Candidates that answer the same held-out images.

    Args:
      material: the images.
      plan: of the candidates.
      ladder: of the time.
      path: the folder of the ladder.
      run: where the run of the one that is delivered is going to lie.
    """

    def __init__(self, material: Material, plan: Plan, ladder: Ladder, path: str, run: str):
        self._material, self._plan, self._ladder = material, plan, ladder
        self._run = run
        self._files = of_candidates.Answers(os.path.join(path, ANSWERS), material)
        self._recipes: dict[str, Recipe] = {}
        self._settings: dict[str, config.Config] = {}
        self._pace: dict[str, float] = {}
        self._rung: Rung | None = None

    def hold(self) -> dict[str, np.ndarray]:
        """Tries candidates until the time is over.

        Returns:
          Name -> logits [H, K] of the held-out images, of those that are done and did not fail, in
          the order in which they were tried; logistic regression is always the first.

        Raises:
          ConfigError: the journal is damaged.
          OSError: the folder cannot be written.
        """
        for rung, words in self._ladder.climb(self._rungs(), self._attempt):
            if rung.name in self._ladder.results:
                self._files.drop_folds(rung.name)
            log.info(f"{rung.name}: {self._ending(rung.name, words)}")
        if self._ladder.is_late:
            log.info("The same command with more --minutes tries what there was no time for")
        return self._answers()

    @property
    def failures(self) -> dict[str, str]:
        """Name -> why its training on all labels failed, in this start or an earlier one."""
        results = self._ladder.results.items()
        return {name: result[_NOT_TRAINED] for name, result in results if _NOT_TRAINED in result}

    def note_failure(self, name: str, reason: str) -> None:
        """Keeps that the training of a candidate on all labels failed.

        Raises:
          OSError: the journal cannot be written.
        """
        self._ladder.add(name, {_NOT_TRAINED: reason})

    def settings_of(self, name: str) -> config.Config:
        """The configuration of a candidate that is trained as a run."""
        return self._settings[name]

    def _answers(self) -> dict[str, np.ndarray]:
        answers = {regression.NAME: self._read(regression.NAME)}
        for name, result in self._ladder.results.items():
            logits = None if _FAILED in result else self._read(name)
            if logits is not None and (name in self._settings or name == regression.NAME):
                answers[name] = logits
        return {name: logits for name, logits in answers.items() if logits is not None}

    def _read(self, name: str) -> np.ndarray | None:
        file, logits = self._files.file(name), self._files.read(name)
        if logits is None and name == regression.NAME:
            logits = regression.answers(self._material)
            of_candidates.write(file, logits)
        elif logits is None:
            log.warning(f"{file} is gone or damaged: {name} is left out")
        return logits

    def _forget_if_lost(self, name: str) -> None:
        """Has a candidate count as not done whose answers are lost, and needed."""
        result = self._ladder.results.get(name)
        if result is None or _FAILED in result or _NOT_TRAINED in result:
            return
        if self._files.read(name) is None:
            log.warning(f"{self._files.file(name)} is gone or damaged: {name} is not done")
            self._ladder.forget(name)

    def _rungs(self) -> Iterator[Rung]:
        # It takes seconds, and is tried whatever the time: something is delivered.
        yield Rung(regression.NAME, delivery=forecast.of_lists(), always=True)
        if self._material.held_out() is None:
            return
        for recipe in self._plan.recipes:
            yield from self._rung_of(recipe)
        if self._plan.layers:
            for recipe in self._deeper(self._plan.layers):
                yield from self._rung_of(recipe)

    def _deeper(self, layers: int) -> list[Recipe]:
        """More layers by the best method with, and without unlabeled images, and what is done."""
        tried = [
            name
            for name in self._answers()
            if name in self._recipes and not self._recipes[name].needs_many_steps
        ]
        rights = {name: self._right(name) for name in tried}
        chosen = []
        for reads_unlabeled in (False, True):
            of_sort = {
                name: right
                for name, right in rights.items()
                if self._recipes[name].reads_unlabeled == reads_unlabeled
            }
            if of_sort:
                chosen.append(recipes.deeper(self._recipes[estimates.best(of_sort)], layers))
        # Those of methods that were the best in an earlier start, which tried fewer.
        others = [recipes.deeper(recipe, layers) for recipe in self._plan.recipes]
        done = [recipe for recipe in others if recipe.name in self._ladder.results]
        return [*chosen, *(recipe for recipe in done if recipe not in chosen)]

    def _right(self, name: str) -> np.ndarray:
        held_out, logits = self._material.held_out(), self._read(name)
        assert held_out is not None and logits is not None
        return np.argmax(logits, axis=-1) == held_out.labels

    def _rung_of(self, recipe: Recipe) -> Iterator[Rung]:
        """The rung of a candidate; none, with a line, if it cannot be trained."""
        name = recipe.name
        self._recipes[name] = recipe
        self._forget_if_lost(name)
        if self._ladder.left <= 0 and name not in self._ladder.results:
            yield Rung(name)
            return
        source = self._material.source
        try:
            settings = recipes.settings_of(
                recipe,
                self._plan.common,
                self._material.least_labels,
                self._material.pool_size,
                data.counted(source) if source.skipped else None,
            )
            config.check_data(settings, source)
        except ConfigError as error:
            log.info(f"{name}: not tried: {error}")
            return
        self._settings[name] = settings
        self._rung = self._forecast(name, settings)
        yield self._rung

    def _forecast(self, name: str, settings: config.Config) -> Rung:
        """What a candidate is expected to take."""
        results, trainings = self._ladder.results, self._material.trainings
        sizes = {part: len(rows) for part, rows in self._material.features.items()}
        training = results.get(name, {}).get("seconds_a_fold")
        if name in results:
            pace = 0.0 if settings.is_cached else self._seconds_per_image(settings)
            return Rung(name, None, forecast.of_delivery(settings, training, sizes, pace))
        if settings.is_cached:
            done = {
                other: (self._settings[other], result["seconds_a_fold"])
                for other, result in results.items()
                if other in self._settings
                and self._settings[other].is_cached
                and result.get("seconds_a_fold")
            }
            seconds = forecast.of_heads(settings, trainings, done)
            if missing := self._missing_views(settings):
                pace = self._seconds_per_image(settings)
                seconds += forecast.of_views(missing, pace)
            pace = 0.0
        else:
            pace = self._seconds_per_image(settings)
            seconds = forecast.of_steps(settings, trainings, pace)
        training = seconds / trainings
        return Rung(name, seconds, forecast.of_delivery(settings, training, sizes, pace))

    def _missing_views(self, settings: config.Config) -> int:
        source = self._material.source
        split = experiment.make_split(settings, source)
        policies = views.make(settings.data, split.labeled.shape[0])
        features = cached.make(settings, split, policies, self._material.backbone, self._run)
        views_read = METHODS[settings.run.method].unlabeled_views
        return features.missing(cached.requests(split, views_read, trial.answered(self._material)))

    def _seconds_per_image(self, settings: config.Config) -> float:
        name = settings.run.network
        if name not in self._pace:
            network: keras.Model = self._material.backbone
            if settings.network.train == "all":
                height, width, channels = self._material.source.train.shape
                network = building.network(
                    settings, self._material.num_classes, (height, width, channels), "student"
                )
            self._pace[name] = forecast.seconds_per_image(network)
        return self._pace[name]

    def _attempt(self, name: str) -> dict[str, Any]:
        """What the journal keeps of a candidate; what it answers is in a file."""
        about = ""
        if self._rung is not None and self._rung.name == name and self._rung.seconds:
            about = f"about {console.duration(self._rung.seconds)}; "
        left = f"{console.duration(self._ladder.left)} left"
        if not self._ladder.left:
            left = "no time is left, and it is tried all the same: it takes seconds"
        log.info(f"{name}: {about}{left}")
        file, stem = self._files.file(name), self._files.stem(name)
        if name == regression.NAME:
            of_candidates.write(file, regression.answers(self._material))
            return {}
        try:
            with self._paced(name) as pace:
                result = trial.answer(self._settings[name], self._material, stem, pace)
        except ConfigError as error:  # such as no room for features: another start may have some
            raise PassedOverError(str(error)) from error
        except callbacks.NonFiniteError as error:
            return {_FAILED: str(error)}
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            if not faults.is_short_of_memory(error):
                raise
            reason = f"there is not enough memory ({files.reason(error)})"
            raise PassedOverError(reason) from error
        of_candidates.write(file, result.logits)
        return {"seconds_a_fold": result.seconds_a_fold}

    @contextlib.contextmanager
    def _paced(self, name: str):
        """A function that is told how many seconds are to come, and gives up if they are not there.

        A terminal shows a bar meanwhile.
        """
        delivery = self._rung.delivery if self._rung is not None else 0.0
        with tqdm.tqdm(
            total=100, desc=name, disable=console.no_bar(), leave=False, unit="%"
        ) as bar:
            first: list[float] = []

            def pace(seconds: float) -> None:
                first.append(seconds)
                bar.update(max(0.0, 100 * (1 - seconds / max(first[0], 1e-9)) - bar.n))
                if self._ladder.short_of(seconds, delivery):
                    raise TooLongError(seconds)

            yield pace

    def _ending(self, name: str, words: str) -> str:
        """What is said of a candidate at its end, in a line."""
        if words not in ("done", "done before"):
            return f"passed over: {words}"
        if reason := self._ladder.results[name].get(_FAILED):
            return f"failed: {reason}"
        if reason := self.failures.get(name):
            words += f", and its training on all labels failed: {reason}"
        seconds = console.duration(self._ladder.seconds[name])
        logits, held_out = self._read(name), self._material.held_out()
        if logits is None or held_out is None:
            return f"in {seconds}, {words}"
        estimate = estimates.estimate(
            np.argmax(logits, axis=-1) == held_out.labels, self._material.folds_of_held_out()
        )
        return f"right in {estimate} of {estimate.images} held-out images, in {seconds}, {words}"
