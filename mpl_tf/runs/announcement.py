"""What a run says of itself before it begins."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mpl_tf import config
from mpl_tf.console import log
from mpl_tf.data.dataset import Source
from mpl_tf.features.tables import Features
from mpl_tf.networks import is_pretrained
from mpl_tf.runs.experiment import Experiment

_SMALL = 128  # pixels, of images that published networks know larger
_UNEQUAL = 3  # times as many labels has one class as another where that is said


def announce(experiment: Experiment, explicit: Mapping[str, Any] | None = None) -> None:
    """Says what is about to run.

    Args:
      experiment: the run.
      explicit: option name -> value, of those that somebody set; None if nobody sets any.
    """
    run, split, method = experiment.config.run, experiment.split, experiment.method
    features = experiment.features
    parts = {name: getattr(split, name) for name in ("labeled", "unlabeled", "validation", "test")}
    sizes = ", ".join(f"{part.size} {name}" for name, part in parts.items() if part is not None)
    height, width, channels = split.labeled.shape
    log.info(
        f"{type(method).__name__} on {run.dataset}: {sizes} images of {height}x{width}x{channels}, "
        f"{len(split.class_names)} classes"
    )
    has_choice = explicit is not None and not explicit.keys() & {"num_validation", "split_file"}
    if split.validation is None and has_choice:
        log.info(_without_validation(split.source))
    if experiment.eval_split is not None:
        height, width, _ = experiment.eval_split.labeled.shape
        log.info(
            f"Networks are evaluated and exported at {height}x{width} pixels, "
            f"and {'' if run.finetune_steps else 'not (finetune_steps=0) '}finetuned there"
        )
    log.info(
        f"Network {run.network}, {method.student.count_params():,} parameters"
        f"{'' if features is None else _beside(features)}; "
        f"{run.steps} steps, then {run.finetune_steps} of finetuning"
    )
    if experiment.pretraining is not None:
        first = experiment.pretraining
        log.info(f"Before them {first.config.run.steps} of {type(first.method).__name__}")
    weights = experiment.config.network.network_weights
    pretrained = is_pretrained(run.network, weights)
    if pretrained and (small := _small_images(experiment, explicit)):
        log.info(small)
    if method.classifier_only and not run.pretrain and not pretrained:
        log.info(
            "The encoder is untrained, and stays so: --pretrain teaches one, "
            "--network=file:ENCODER.keras takes one that is taught"
        )
    if method.unlabeled_views and split.unlabeled.has_hidden_labels:
        log.info("Hidden labels of unlabeled images: for pseudo_label_accuracy in the log alone")
    if address := experiment.config.compute.data_service:
        log.info(
            f"Batches come from the data service at {address}, in the order in which its workers "
            "make them: which one a step has is no function of (seed, step)"
        )
    if rare := _rare_labels(experiment, explicit):
        log.info(rare)
    method.warn_of_shortfall(run.steps, run.labeled_batch * run.unlabeled_ratio)
    log.info(f"Run folder: {experiment.path}")


def _without_validation(source: Source) -> str:
    """That there are no validation images, why, and how there would be some."""
    counts = np.bincount(source.train.labels, minlength=len(source.class_names))
    smallest = int(counts.min())
    text = "No validation images, and so no accuracy in the curves"
    if smallest == 1:
        return f"{text}: a class has one label alone, which training needs"
    if smallest < 10:
        text += f": a class has {smallest} labels, and of fewer than 10 none are set aside"
    return f"{text}. --num_validation=N takes N of the labeled images, a multiple of {len(counts)}"


def _beside(features: Features) -> str:
    """What there is beside a head, in words."""
    return f" of its head on {features.size:,} features, {features.backbone.count_params():,} fixed"


def _small_images(experiment: Experiment, explicit: Mapping[str, Any] | None) -> str:
    """That larger images may be worth points, if these are small by default; else ""."""
    width = experiment.split.labeled.shape[1]
    if width >= _SMALL or explicit is None or "image_size" in explicit:
        return ""
    return (
        f"If {experiment.config.run.network} has learned from larger images, --image_size=224 is "
        "worth many points, also where photographs are smaller (docs/results.md)"
    )


def _rare_labels(experiment: Experiment, explicit: Mapping[str, Any] | None) -> str:
    """That some classes have far fewer labels than others, if nothing is done about it; else ""."""
    data, method = experiment.config.data, experiment.config.method
    name = experiment.config.run.method
    if explicit is None or data.balance_labels or not config.applies("logit_adjustment", name):
        return ""
    if method.logit_adjustment or method.class_weight:
        return ""
    counts = np.bincount(experiment.split.labeled.labels)
    least, most = int(counts[counts > 0].min()), int(counts.max())
    if most < _UNEQUAL * least:
        return ""
    return (
        f"Classes have {least:,} to {most:,} labels. If the rare ones count as much, "
        "--logit_adjustment=1 is worth many points (docs/results.md)"
    )
