"""How long a candidate is going to take, by what was measured, before it is started."""

import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from mpl_tf import config
from mpl_tf.auto import recipes
from mpl_tf.features import compute
from mpl_tf.features.views import CHUNK

# A view is made, seen by the backbone and written, beside being seen alone.
_OF_VIEW = 1.3
# A pass forward and backward with its update, beside one forward.
_OF_STEP = 3.0
# Seconds until a method has taken its first step.
_OF_TRACE = 8.0
# Seconds that delivery takes, and those of a run beside its steps, in times that a training took:
# networks that are built twice, traces, pictures, and exports. So a busy machine counts.
_OF_LISTS, _OF_RUN = 15.0, 3.0


def seconds_per_image(network: keras.Model) -> float:
    """Seconds that a pass of a network forward takes for an image, measured now on black ones."""
    images = np.zeros([CHUNK, *network.input_shape[1:]], np.uint8)
    run = compute.forward(network)
    np.asarray(run(images))  # traces it
    start = time.perf_counter()
    np.asarray(run(images))
    return (time.perf_counter() - start) / CHUNK


def of_views(number: int, pace: float) -> float:
    """Seconds for the features of views.

    Args:
      number: of views that are not cached yet.
      pace: `seconds_per_image` of the backbone.
    """
    return _OF_VIEW * number * pace


def of_heads(
    settings: config.Config, trainings: int, done: Mapping[str, tuple[config.Config, float]]
) -> float:
    """Seconds to train heads on cached features, by what other methods took.

    Args:
      settings: of the candidate.
      trainings: how many there are.
      done: name -> (settings, seconds of a training) of other heads. Without any, the time until
        the first step is what is known.
    """
    if not done:
        return _OF_TRACE
    of_a_unit = max(seconds / recipes.weight(other) for other, seconds in done.values())
    return _OF_TRACE + trainings * of_a_unit * recipes.weight(settings)


def of_steps(settings: config.Config, trainings: int, pace: float) -> float:
    """Seconds to train networks on images.

    Args:
      settings: of the candidate.
      trainings: how many there are.
      pace: `seconds_per_image` of the network.
    """
    steps = settings.run.steps + settings.run.finetune_steps
    return _OF_TRACE + trainings * steps * recipes.passes_a_step(settings) * _OF_STEP * pace


def of_delivery(
    settings: config.Config, training: float | None, images: Mapping[str, int], pace: float
) -> float:
    """Seconds to train a candidate on all labels, to test it, and to write what is delivered.

    Args:
      settings: of the candidate.
      training: seconds of a training; None if that is not known.
      images: part of the dataset -> how many there are.
      pace: `seconds_per_image` of the network; of no effect if features are cached.
    """
    passes: Any = 0
    if not settings.is_cached:  # teacher, student and average are tested; one predicts
        passes = images.get("unlabeled", 0) + 3 * (
            images.get("test", 0) + images.get("validation", 0)
        )
    return _OF_LISTS + _OF_RUN * (training or _OF_TRACE) + pace * passes


def of_lists() -> float:
    """Seconds to write what is delivered of a candidate that is no run."""
    return _OF_LISTS
