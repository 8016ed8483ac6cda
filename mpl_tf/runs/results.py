"""The end of a run: test, export, picture, summary."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import keras
import numpy as np

from mpl_tf import console
from mpl_tf.console import log
from mpl_tf.data.dataset import Images
from mpl_tf.engine.method import Method
from mpl_tf.engine.roles import ROLES
from mpl_tf.formulas import calibration as formulas
from mpl_tf.formulas import measures
from mpl_tf.options import ConfigError
from mpl_tf.runs import calibration, callbacks, choosing, folder, pictures, results_file
from mpl_tf.runs.experiment import Experiment
from mpl_tf.runs.provenance import git_revision, versions
from mpl_tf.serving import saved_model


class Results(TypedDict):
    """What results.json holds, beside facts of the method."""

    dataset: str
    method: str
    seed: int
    steps: int
    num_labeled: int
    delivered: NotRequired[str]
    test_accuracy: NotRequired[dict[str, float | None] | None]
    validation_accuracy: NotRequired[dict[str, float | None] | None]
    calibration: NotRequired[calibration.Calibration]
    weights_digest: str
    seconds: float
    seconds_per_step: float | None


def read(path: str) -> dict[str, Any]:
    """The content of the results.json of a finished run, in its folder.

    Raises:
      ConfigError: the file cannot be read or holds something else.
    """
    return results_file.read(path, Results, _check)


def _check(file: str, results: Any) -> None:
    choosing.check_role(file, results.get("delivered", ROLES[0]))
    accuracies = [results.get(f"{part}_accuracy") or {} for part in ("test", "validation")]
    if any(accuracy and not {*ROLES} <= accuracy.keys() for accuracy in accuracies):
        raise ConfigError(
            f"{file} is damaged: an accuracy must be there for each of {', '.join(ROLES)}."
        )
    role = results.get("delivered")
    if role and any(accuracy and accuracy[role] is None for accuracy in accuracies):
        raise ConfigError(f"{file} is damaged: {role} is delivered and has no accuracy.")


def check_facts(method: Method) -> None:
    """Refuses facts of a method that results.json could not hold beside what it says of every run.

    Raises:
      ConfigError: a name is taken, or a value is nothing that JSON has.
    """
    facts, name = method.facts(), type(method).__name__
    others = {*Results.__annotations__, "versions", "git_revision", "resumed_at"}
    reserved = sorted(facts.keys() & others)
    if reserved:
        raise ConfigError(
            f"facts() of {name} must not name {', '.join(reserved)}: results of all runs have that."
        )
    for key, value in facts.items():
        try:
            json.dumps({key: value})
        except TypeError as error:
            raise ConfigError(
                f"facts() of {name} must have texts, numbers, or lists and dicts of them; received "
                f"{key}={value!r} ({type(value).__name__})."
            ) from error


def finish(experiment: Experiment) -> dict[str, Any]:
    """Tests every network, exports the delivered one, draws the report.

    Returns:
      What results.json says apart from the time it took.

    Raises:
      callbacks.NonFiniteError: the delivered network has a weight that is no number.
    """
    method = experiment.method
    if weight := saved_model.non_finite_weight(method.network()):  # of the last step, say
        raise callbacks.NonFiniteError(f"weight {weight} holds NaN or infinite values at the end")
    run, split = experiment.config.run, experiment.evaluated
    part = "test" if split.test else "validation"
    images = split.test or split.validation
    log.info("Testing, exporting and drawing ...")
    logits = _logits(experiment, images)
    held_out = logits if part == "validation" else _logits(experiment, split.validation)
    if run.deliver == "best":
        choosing.deliver_best(method, held_out, split)
    else:
        choosing.tell_of_better(method, held_out, split, experiment.path)
    calibrated = calibration.fit(held_out, split.validation)
    temperature = calibrated["temperatures"][method.delivered]
    probs, accuracy = None, _accuracy(logits, images)
    if images:
        calibrated = calibration.measure(calibrated, logits, images.labels, part == "test")
        probs = formulas.probabilities(logits[method.delivered], temperature)
    saved_model.remove_unfinished(experiment.file(folder.EXPORT))  # if it was killed here before
    saved_model.export(
        experiment.whole(method.network()),
        experiment.file(folder.EXPORT),
        split.class_names,
        config=experiment.config.flat(),
        about={"network": method.delivered},
        temperature=temperature,
    )
    facts = method.facts()
    name = run.method
    if experiment.pretraining is not None:
        name = f"{experiment.pretraining.method.registered_name}, then {name},"
    title = f"{name} on {run.dataset}, {len(split.labeled)} labels, seed {run.seed}"
    pictures.draw(
        experiment.file(folder.REPORT),
        title=", ".join([title, *(f"{name}: {value}" for name, value in facts.items())]),
        workdir=experiment.path,
        panels=method.panels,
        part=part,
        accuracy=accuracy,
        probs=probs,
        images=images,
        labeled=split.labeled,
        class_names=split.class_names,
    )
    return {
        "dataset": run.dataset,
        "method": run.method,
        **facts,
        "seed": run.seed,
        "steps": run.steps,
        "num_labeled": len(split.labeled),
        "delivered": method.delivered,
        "validation_accuracy": _accuracy(held_out, split.validation) or None,
        f"{part}_accuracy": accuracy or None,
        "calibration": calibrated,
        "weights_digest": weights_digest(method.networks),
        "versions": versions(),
        "git_revision": git_revision(),
    }


def _logits(experiment: Experiment, images: Images | None) -> dict[str, np.ndarray]:
    """Role -> logits on images [N, K]; without any, [0, K]."""
    seen = None if images is None else experiment.seen(images)
    return calibration.logits(experiment.method.evaluated_networks(), seen)


def _accuracy(logits: Mapping[str, np.ndarray], images: Images | None) -> dict[str, float | None]:
    """Role -> accuracy on the images, None of networks that there are not; {} without images."""
    if not images:
        return {}
    return {
        name: measures.accuracy(logits[name], images.labels) if name in logits else None
        for name in ROLES
    }


def summarize(results: Mapping[str, Any], path: str) -> None:
    """Says how a run ended and where its files lie; of its exports, the newest."""
    part = "test" if "test_accuracy" in results else "validation"
    accuracy = results.get(f"{part}_accuracy") or {}
    rows = [(k, f"{v:.4f}") for k, v in accuracy.items() if v is not None]
    listed = [
        (folder.REPORT, "curves, confusion matrix, worst mistakes"),
        (folder.VIEWS, "what the networks see: weak and strong views"),
        (folder.NEIGHBOURS, "what the encoder finds alike, before labels teach it"),
        (folder.ENCODER, "the encoder: --network=file:encoder.keras"),
        (folder.METRICS, f"every logged number by step; {folder.TENSORBOARD}/ has the same"),
        (folder.RESULTS, "these results, package versions, a digest of the weights"),
        (folder.FLAGS, f"this run again: --flagfile={os.path.join(path, folder.FLAGS)}"),
    ]
    there = [(name, text) for name, text in listed if os.path.exists(os.path.join(path, name))]
    export_versions = saved_model.versions(os.path.join(path, folder.EXPORT))
    if export_versions:
        text = "SavedModel for TensorFlow Serving: images in, classes out"
        there.append((f"{folder.EXPORT}/{export_versions[-1]}", text))
    delivered = results.get("delivered") or (rows[-1][0] if rows else "")
    if rows:
        rows = [(k, f"{v}  (exported)" if k == delivered else v) for k, v in rows]
        log.info(f"\n{part.capitalize()} accuracy\n{console.table(rows)}")
    else:
        log.info("\nNo test or validation images: nothing to measure accuracy on")
    if rows and (calibrated := results.get("calibration")):
        log.info(calibration.text(calibrated, delivered))
    log.info(f"{results['seconds']:.0f} seconds. In {path}:\n{console.table(there)}")


def weights_digest(networks: Mapping[str, keras.Model]) -> str:
    """SHA-256 over all weights of networks by name, in a fixed order; equal for equal bits.

    Returns:
      Hexadecimal.
    """
    digest = hashlib.sha256()
    for name in sorted(networks):
        digest.update(name.encode())
        for weight in networks[name].get_weights():
            digest.update(str((weight.dtype, weight.shape)).encode())
            digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
