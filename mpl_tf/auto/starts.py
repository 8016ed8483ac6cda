"""What networks start from: the best weights that can be reached, or none."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import keras
from keras import layers

from mpl_tf import networks
from mpl_tf.auto.options import AutoConfig
from mpl_tf.console import log
from mpl_tf.networks import freezing, parts, published
from mpl_tf.options import ConfigError

# Published weights that are tried in order where no network is asked for.
_PUBLISHED = ("keras:EfficientNetV2B0", "keras:MobileNetV2")
_SMALL = "small_32"
_SIDE, _SIDE_FROM_SCRATCH = 96, 32  # of images, in pixels; the first at least (`sizes`)
_LEAST_SIDE = 32  # of images that published networks take
_PIXELS = 16  # side of the images whose pixels are features where there is no backbone


@dataclasses.dataclass(frozen=True)
class Start:
    """A network and its weights.

    Attributes:
      network: its name.
      weights: as `--network_weights` takes them.
      image_size: side of the images in pixels.
      note: what is to be said of it first; "" if nothing is.
      any_size: whether images of another size would do: nobody has asked for this one, and learned
        weights take any.
    """

    network: str
    weights: str
    image_size: int
    note: str = ""
    any_size: bool = False

    @property
    def is_pretrained(self) -> bool:
        """Whether the network has learned weights."""
        return networks.is_pretrained(self.network, self.weights)


def choose(options: AutoConfig, side_of_images: int = 0) -> Start:
    """The network that is asked for, else the best that can be reached.

    Args:
      options: which network, and images of which size.
      side_of_images: in pixels, if the dataset has them in no other size; else 0.

    Raises:
      ConfigError: there is no such network, or its weights are not there.
    """
    if options.network:
        networks.find(options.network)
    takes_file = bool(options.network) and networks.takes_weights(options.network)
    if options.network_weights not in ("", published.IMAGENET) and not takes_file:
        raise ConfigError(
            f"network_weights={options.network_weights} is for --network=keras:NAME; received "
            f"network={options.network!r}. Name the network that the weights are of."
        )
    is_open = not (options.image_size or side_of_images)
    if options.network:
        weights = options.network_weights if networks.takes_weights(options.network) else ""
        learned = networks.is_pretrained(options.network, weights)
        usual = _SIDE if learned else _SIDE_FROM_SCRATCH
        side = options.image_size or side_of_images or usual
        if weights:
            networks.check(options.network, weights, side)
        return Start(options.network, weights, side, any_size=is_open and learned)
    side, reason = options.image_size or side_of_images or _SIDE, ""
    names = _PUBLISHED if options.network_weights == published.IMAGENET else ()
    if names and side < _LEAST_SIDE:
        names, reason = (), f"Networks with learned weights take {_LEAST_SIDE} pixels or more."
    if names:
        log.info(f"Published weights are looked for in {published.folder()}, else downloaded there")
    for name in names:
        try:
            with _keras_is_quiet():
                networks.check(name, published.IMAGENET, side)
        except ConfigError as error:
            reason = reason or _as_sentence(str(error))
            if not _has_weights(published.folder()):
                break  # nor would another one be there
        else:
            return Start(name, published.IMAGENET, side, any_size=is_open)
    return Start(
        _SMALL,
        "",
        options.image_size or side_of_images or _SIDE_FROM_SCRATCH,
        f"No learned weights are used: candidates are logistic regression on pixels and {_SMALL}, "
        "trained from scratch, which need more labels and more time for the same accuracy. "
        f"{reason}".rstrip(),
    )


@contextlib.contextmanager
def _keras_is_quiet() -> Iterator[None]:
    """While this lasts, Keras prints nothing of downloads, which may be in vain."""
    interactive = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if interactive:
            keras.config.enable_interactive_logging()


def _as_sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _has_weights(folder: str) -> bool:
    return os.path.isdir(folder) and any(name.endswith(".h5") for name in os.listdir(folder))


def backbone(
    start: Start, num_classes: int, shape: tuple[int, int, int], seed: int
) -> tuple[keras.Model, int]:
    """What makes features: of the network, frozen as runs do, or pixels where it has no backbone.

    Args:
      start: which network.
      num_classes: K.
      shape: (height, width, channels) of the images.
      seed: of weights that are not learned.

    Returns:
      (the backbone, how many layers of it can be trained: 0 without learned weights).

    Raises:
      ConfigError: the network cannot be built, or takes no such images.
    """
    if networks.has_parts(start.network):
        arguments: dict[str, Any] = {"weights": start.weights} if start.weights else {}
        if networks.brings_head(start.network):
            arguments["keep_head"] = False
        network = networks.find(start.network)(num_classes, shape, seed=seed, **arguments)
        made, layers_with_kernels = parts.backbone(network), 0
        if start.is_pretrained:
            layers_with_kernels = freezing.layers_with_kernels(made)
            networks.set_trained(network, "head", batch_norm=False)
        return made, layers_with_kernels
    inputs = keras.Input(shape)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    if min(shape[:2]) > _PIXELS:
        x = layers.Resizing(_PIXELS, _PIXELS, antialias=True)(x)
    return keras.Model(inputs, layers.Flatten()(x), name=parts.BACKBONE), 0
