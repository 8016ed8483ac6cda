"""From the images of a dataset to what is delivered, within given minutes."""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mpl_tf import console, files
from mpl_tf.auto import candidates, delivery, estimates, regression, tables
from mpl_tf.auto.candidates import Candidate
from mpl_tf.auto.ladder import Ladder, Rung
from mpl_tf.auto.material import Material
from mpl_tf.console import log
from mpl_tf.formulas import calibration, measures

RESULTS, PICTURE = "results.json", "candidates.png"


def find_best(
    material: Material,
    path: str,
    key: str,
    seconds: float,
    count: int,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Tries candidates, compares them on held-out images, and delivers the best.

    Args:
      material: the images.
      path: the folder, which is there.
      key: of the journal; see `Ladder`.
      seconds: for the candidates.
      count: images to label next, at most.
      clock: gives seconds.

    Returns:
      The content of results.json.

    Raises:
      ConfigError: the journal is damaged, or of other images or options.
      OSError: the folder cannot be written.
    """
    ladder = Ladder(path, key, seconds, clock=clock)
    probs: dict[str, np.ndarray] = {}

    def attempt(name: str) -> dict[str, Any]:
        log.info(f"{name}: {console.duration(ladder.left)} left")
        result, probs[name] = regression.attempt(material)
        return result

    # The simplest candidate takes seconds and is tried whatever the time: something is delivered.
    for rung, words in ladder.climb([Rung(regression.NAME)], attempt):
        log.info(f"{rung.name}: {words}")
    results = dict(ladder.results)
    if regression.NAME not in results:
        results[regression.NAME] = attempt(regression.NAME)
    out_of_fold = probs.get(regression.NAME)
    if out_of_fold is None:  # an earlier start did it
        _, out_of_fold = regression.attempt(material)
    held_out = material.held_out()
    rights = {name: np.array(result["right"], bool) for name, result in results.items()}
    winner, verdict = regression.NAME, ""
    if held_out is None:
        verdict = (
            f"{winner} is delivered, and not measured: each class has a single label, so that none "
            "can be held out. Two labels a class are enough for an estimate."
        )
    else:
        winner, verdict = estimates.best(rights), estimates.verdict(rights)
    tried = _candidates(material, rights, ladder.seconds, winner)
    candidates.write(os.path.join(path, tables.CANDIDATES), tried)
    title = f"Candidates, on {0 if held_out is None else len(held_out)} held-out images"
    candidates.draw(os.path.join(path, PICTURE), title, tried)

    temperature = results[winner]["calibration_temperature"]
    head = regression.head(material)
    network = regression.network(material.backbone, head)
    exported = delivery.export(path, network, material.source.class_names, temperature)

    def answers(part: str) -> np.ndarray:
        if part not in material.features:
            return np.zeros([0, material.num_classes])
        return calibration.probabilities(head.logits(material.features[part]), temperature)

    delivery.lists(path, material, answers("unlabeled"), out_of_fold, count)
    test = material.source.test
    summary = {
        "key": key,
        "delivered": winner,
        "verdict": verdict,
        "accuracy": tried[0].estimate and tried[0].estimate.accuracy,
        "standard_error": tried[0].estimate and tried[0].estimate.error,
        "test_accuracy": test and measures.accuracy(answers("test"), test.labels),
        "calibration_temperature": temperature,
        "export": os.path.relpath(exported, path),
    }
    files.write_json(os.path.join(path, RESULTS), summary)
    log.info(f"\n{candidates.text(tried)}\n{verdict}")
    return summary


def _candidates(material, rights, seconds, winner):
    """Candidates, the delivered one first, then by accuracy."""
    folds = material.folds_of_held_out()
    names = sorted(rights, key=lambda name: (name != winner, -np.sum(rights[name])))
    return [
        Candidate(
            name,
            estimates.estimate(rights[name], folds) if len(rights[name]) else None,
            seconds.get(name, 0.0),
            estimates.difference(rights[name], rights[winner]) if name != winner else None,
        )
        for name in names
    ]
