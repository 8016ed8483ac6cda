"""What a step needs of memory at least, so that a run too large for the machine never starts."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from mpl_tf import config
from mpl_tf.images import memory
from mpl_tf.methods import METHODS
from mpl_tf.networks.sizes import values_of_layers
from mpl_tf.options import ConfigError

# Of all that layers compute, some is let go of before the rest is there.
_SHARE = 0.25


def check_images(settings: config.Config, image_shape: tuple[int, int, int]) -> None:
    """Refuses a run the images of whose step do not fit into memory, one byte a value.

    Args:
      settings: of the run.
      image_shape: (height, width, channels).

    Raises:
      ConfigError: they are more than there is.
    """
    _compare(settings, image_shape, images_a_step(settings) * math.prod(image_shape))


def check_layers(
    settings: config.Config, network: keras.Model, image_shape: tuple[int, ...]
) -> None:
    """Refuses a run whose step the CPU cannot compute.

    A quarter is counted of what the layers give for the images of a microbatch: a step that passes
    may still be too large.

    Args:
      settings: of the run.
      network: the student.
      image_shape: (height, width, channels), or (F,) of features in the place of images.

    Raises:
      ConfigError: it is more than there is.
    """
    compute = settings.compute
    if compute.strategy.startswith("tpu") or tf.config.get_visible_devices("GPU"):
        return  # which say so themselves
    size = 4 if compute.precision == "float32" else 2
    values = sum(values_of_layers(network)) * images_a_step(settings) / compute.accumulate_steps
    _compare(settings, image_shape, int(_SHARE * size * values))


def images_a_step(settings: config.Config) -> int:
    """Images of a step: the labeled ones, and each view of the unlabeled ones.

    Args:
      settings: of a run.
    """
    run = settings.run
    views = [name for name in METHODS[run.method].unlabeled_views if name != "index"]  # numbers
    return run.labeled_batch * (1 + run.unlabeled_ratio * len(views))


@contextlib.contextmanager
def weights_fit(name: str) -> Iterator[None]:
    """Inside, a network is refused before it holds more than the CPU's memory can train.

    Counted are its variables made so far, and as much twice more: a gradient, and an average or a
    momentum.

    Args:
      name: of the network, for the message.

    Raises:
      ConfigError: it is more than there is.
    """
    if tf.config.get_visible_devices("GPU"):
        yield  # which says so itself
        return
    available, values = memory.available(), 0

    def create(following: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        nonlocal values
        initial = arguments["initial_value"]
        with graph.as_default():  # where an initializer says its shape, and draws nothing
            shape = (initial() if callable(initial) else initial).shape
        values += math.prod(shape)
        least = 3 * 4 * values
        if least > available:
            raise ConfigError(
                f"network={name} has more than {values:,} weights; with their gradient and average "
                f"they need at least {least / 2**30:,.1f} GiB of memory, and "
                f"{available / 2**30:,.1f} are there. Take a smaller network."
            )
        return following(**arguments)

    graph = tf.Graph()
    with tf.variable_creator_scope(create):
        yield


def _compare(settings, image_shape, least):
    available = memory.available()
    if least > available:
        shape = "x".join(map(str, image_shape))
        raise ConfigError(
            f"a step of {images_a_step(settings):,} images of {shape} needs at "
            f"least {least / 2**30:,.1f} GiB of memory, and {available / 2**30:,.1f} are there. "
            "Take a smaller image_size, labeled_batch or unlabeled_ratio, or more accumulate_steps."
        )
