"""Where a network begins: the least images, and stems for small and for large ones."""

from mpl_tf.options import ConfigError

STEMS = ("auto", "small", "large")
_LEAST_SIDE_OF_LARGE = 64  # pixels


def check_sides(name: str, least: int, input_shape: tuple[int, ...]) -> None:
    """Raises ConfigError unless images are as large as a network needs them.

    Args:
      name: of the network, for the message.
      least: height and width in pixels.
      input_shape: (height, width, ...) of the images.
    """
    if min(input_shape[:2]) < least:
        raise ConfigError(
            f"{name} needs images of at least {least}x{least} pixels; received "
            f"{input_shape[0]}x{input_shape[1]}. --image_size sets their size."
        )


def is_small(stem: str, input_shape: tuple[int, ...]) -> bool:
    """Whether a network has the stem for small images.

    The stem for large images divides height and width by four before the first block: a convolution
    of stride 2, then pooling. That for small images is a 3x3 convolution of stride 1.

    Args:
      stem: one of STEMS; "auto" is small for images with a side of less than 64 pixels.
      input_shape: (height, width, channels) of the images.

    Raises:
      ConfigError: there is no such stem.
    """
    if stem not in STEMS:
        raise ConfigError(f"stem must be one of {', '.join(STEMS)}; received {stem!r}.")
    if stem == "auto":
        return min(input_shape[:2]) < _LEAST_SIDE_OF_LARGE
    return stem == "small"
