"""From the images of a dataset to what is delivered, within given minutes."""

import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from mpl_tf import console, files
from mpl_tf.auto import (
    candidates,
    delivery,
    estimates,
    lists,
    regression,
    staging,
    sureness,
    tables,
)
from mpl_tf.auto.candidates import Candidate
from mpl_tf.auto.contest import Contest, Plan
from mpl_tf.auto.early import RUN
from mpl_tf.auto.ladder import Ladder
from mpl_tf.auto.material import Material
from mpl_tf.auto.outcome import Outcome
from mpl_tf.console import log
from mpl_tf.features import folds as folding
from mpl_tf.formulas import calibration, measures

PICTURE = "candidates.png"


def find_best(
    material: Material,
    plan: Plan,
    ladder: Ladder,
    path: str,
    count: int,
    about: Mapping[str, Any] | None = None,
) -> Outcome:
    """Tries candidates, compares them on held-out images, and delivers the best.

    Args:
      material: the images.
      plan: of the candidates beside logistic regression.
      ladder: of the time that is left.
      path: its folder, which is there.
      count: images to label next, at most.
      about: further entries of results.json.

    Raises:
      ConfigError: the journal is damaged, or of other images or options.
      OSError: the folder cannot be written.
    """
    staging.finish(path)  # what an earlier start has left
    contest = Contest(material, plan, ladder, path, os.path.join(path, RUN))
    answers = contest.hold()
    held_out, folds = material.held_out(), material.folds_of_held_out()
    labels = np.zeros(0, np.int64) if held_out is None else held_out.labels
    rights = {name: np.argmax(logits, -1) == labels for name, logits in answers.items()}
    while True:
        winner, verdict, tried = _compare(material, rights, ladder.seconds, contest.failures)
        log.info(f"\n{candidates.text(tried, 'ahead')}\n")
        run = None if winner == regression.NAME else staging.run_folder(path, winner)
        try:
            network, logits_of = _deliverable(material, contest, run, winner)
            break
        except delivery.NotTrainedError as error:  # in the end logistic regression, which cannot
            log.warning(f"{winner}: its training on all labels failed: {error}")
            contest.note_failure(winner, str(error))

    temperature, measured = sureness.choose(answers[winner], labels, folds, material.seed)

    def probabilities(part: str) -> np.ndarray:
        if part not in material.features:
            return np.zeros([0, material.num_classes])
        return calibration.probabilities(logits_of(part), temperature)

    unlabeled, test = probabilities("unlabeled"), material.source.test
    staged, about = staging.begin(path), about or {}
    candidates.write(os.path.join(staged, tables.CANDIDATES), tried)
    title = f"Candidates, on {len(labels)} held-out images"
    candidates.draw(os.path.join(staged, PICTURE), title, tried)
    chosen, suspected = lists.write(
        staged, material, unlabeled, _out_of_fold(material, answers[winner], temperature), count
    )
    names = material.source.class_names
    exported, digest = delivery.export(path, staged, network, names, temperature, about)
    estimate = tried[0].estimate
    summary = {
        "delivered": winner,
        "verdict": verdict,
        "accuracy": estimate and estimate.accuracy,
        "standard_error": estimate and estimate.error,
        "test_accuracy": test and measures.accuracy(probabilities("test"), test.labels),
        "calibration_temperature": temperature,
        "calibration": measured,
        "failed_on_all_labels": contest.failures,
        "export": exported,
        "weights_digest": digest,
        "run": run and RUN,
        **about,
    }
    files.write_json(os.path.join(staged, staging.RESULTS), summary)
    staging.end(path, run)
    log.info(verdict)
    if test is not None:
        log.info(f"On {len(test)} test images it is right in {summary['test_accuracy']:.1%}.")
    if ladder.over:
        seconds = console.duration(ladder.over)
        log.info(f"It took {seconds} longer than --minutes: what is delivered is made to its end")
    if measured is not None:
        log.info(sureness.text(measured, temperature))
    return Outcome(
        winner,
        verdict,
        estimate,
        tuple(tried),
        network,
        temperature,
        material.source.class_names,
        material.unlabeled_ids,
        unlabeled,
        chosen,
        suspected,
        path,
        os.path.join(path, exported),
        run and os.path.join(path, RUN),
    )


def _deliverable(
    material: Material, contest: Contest, run: str | None, winner: str
) -> tuple[keras.Model, Any]:
    """(the network, images -> logits; part of the dataset -> logits of its images)."""
    if run is None:
        head = regression.head(material)
        network = regression.network(material.backbone, head)
        return network, lambda part: head.logits(material.features[part])
    settings = contest.settings_of(winner)
    log.info(f"Training {winner} on all {len(material.source.train)} labels, in {run}")
    network = delivery.train(settings, material.source, run)
    return network, lambda part: delivery.logits(network, material, part, settings.is_cached)


def _out_of_fold(material: Material, answers: np.ndarray, temperature: float) -> np.ndarray:
    """Class probabilities [N, K] of the labeled images, by who has not seen their labels.

    With validation images all candidates have seen all labels, but for logistic regression, which
    is fitted in folds for this.
    """
    inside = material.folds != folding.NEVER_HELD_OUT
    if material.source.validation is not None:
        logits = regression.out_of_fold(material)
        own = sureness.fit(logits[inside], material.source.train.labels[inside])
        return calibration.probabilities(logits, own)
    logits = np.full([len(inside), material.num_classes], np.nan)
    logits[inside] = answers
    return calibration.probabilities(logits, temperature)


def _compare(
    material: Material,
    rights: Mapping[str, np.ndarray],
    seconds: Mapping[str, float],
    failures: Mapping[str, str],
) -> tuple[str, str, list[Candidate]]:
    """(who is delivered, why, all candidates: that one first, then by accuracy)."""
    folds = material.folds_of_held_out()
    if material.held_out() is None:
        winner = regression.NAME
        verdict = (
            f"{winner} is delivered, and not measured: each class has a single label, so that none "
            "can be held out. Two labels a class are enough for an estimate."
        )
    else:
        winner = estimates.best({n: right for n, right in rights.items() if n not in failures})
        verdict = estimates.verdict(rights, folds, failures)
    names = sorted(rights, key=lambda name: (name != winner, -np.sum(rights[name])))
    tried = [
        Candidate(
            name,
            estimates.estimate(rights[name], folds) if len(rights[name]) else None,
            seconds[name],
            estimates.difference(rights[name], rights[winner]) if name != winner else None,
            failures.get(name, ""),
        )
        for name in names
    ]
    return winner, verdict, tried
