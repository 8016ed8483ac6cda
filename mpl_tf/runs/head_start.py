"""`--head_init=probe`: heads start from a logistic regression on the labeled images' features."""

import os
from collections.abc import Iterator

import keras
import numpy as np

from mpl_tf import config, networks
from mpl_tf.console import log
from mpl_tf.data import pipeline
from mpl_tf.data.dataset import Images
from mpl_tf.data.splits import Split
from mpl_tf.engine import calibration
from mpl_tf.features import batches, probe
from mpl_tf.networks import heads, parts
from mpl_tf.options import ConfigError
from mpl_tf.runs import checkpoint, folder
from mpl_tf.runs.building import derived_seed
from mpl_tf.runs.experiment import Experiment

_CHUNK = 4096  # images whose features are in memory at once


def check(settings: config.Config, split: Split) -> None:
    """Refuses a start from a probe where a class has no label.

    Raises:
      ConfigError: a class has none.
    """
    absent = np.setdiff1d(np.arange(len(split.class_names)), split.labeled.labels)
    if settings.network.head_init == "probe" and len(absent):
        names = ", ".join(split.class_names[k] for k in absent[:5])
        raise ConfigError(
            f"head_init=probe needs a label of each class; {len(absent)} have none, such as "
            f"{names}. Label one of each, or leave head_init out."
        )


def remedy(settings: config.Config) -> str:
    """What to try where nothing is confident, in words that continue "Try"; "" if nothing here."""
    options = settings.network
    if options.head_init == "probe" or not networks.is_pretrained(
        settings.run.network, options.network_weights
    ):
        return ""
    temperature = f"a head_temperature below {options.head_temperature:g}"
    return f"head_init=probe, or {temperature}" if options.head == "linear" else temperature


def start(experiment: Experiment) -> None:
    """Gives the heads of a run's networks the weights of the probe, where the run asks for it.

    A run whose training has a checkpoint has its weights from there.

    Args:
      experiment: whose networks are fresh and whose features are prepared.
    """
    settings = experiment.config
    checkpoints = os.path.join(experiment.path, folder.CHECKPOINTS, folder.TRAIN)
    if settings.network.head_init != "probe" or checkpoint.steps(checkpoints):
        return
    run = settings.run
    fitted: dict[str, probe.Head] = {}
    for role, network in experiment.method.starting_networks():
        name = run.teacher_network if role == "teacher" and run.teacher_network else run.network
        if not networks.is_pretrained(name, settings.network.network_weights):
            continue
        if name not in fitted:
            fitted[name] = _fit(experiment, network)
        head = network if experiment.features is not None else parts.head(network)
        heads.set_linear(head, fitted[name].kernel, fitted[name].bias)


def _fit(experiment: Experiment, network: keras.Model) -> probe.Head:
    """The calibrated probe on the features of a network's backbone."""
    split, features = experiment.split, experiment.features
    labels, classes = split.labeled.labels, len(split.class_names)
    log.info(f"Head: a logistic regression on {len(labels):,} labeled images ...")
    if features is None:
        images = (pixels for pixels, _ in pipeline.evaluation_batches(split.labeled))
        labeled = calibration.logits(parts.backbone(network), images)
        standard = probe.moments([labeled])
    else:
        plain = [batches.plain(features, part) for part in split.images_for_training()]
        labeled = plain[0].store.read(plain[0].positions)
        standard = probe.moments(chunk for part in plain for chunk in _chunks(part))
    seed = derived_seed(experiment.config.run.seed, "probe")
    result = probe.calibrated(labeled, labels, classes, seed, standard)
    if result.images:
        log.info(
            f"Head: of {result.images:,} labeled images, each held out, it answers "
            f"{result.accuracy:.1%} right, and is sure by {result.confidence:.1%}"
        )
    else:
        log.info("Head: one label a class; how sure it may be cannot be told")
    return result.head


def _chunks(images: Images) -> Iterator[np.ndarray]:
    """The features of images, float32 [n, F], some at a time."""
    for first in range(0, len(images), _CHUNK):
        yield images.store.read(images.positions[first : first + _CHUNK])
