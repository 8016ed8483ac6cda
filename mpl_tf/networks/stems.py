"""Where a network for large images begins, and its variant for small ones."""

from mpl_tf.options import ConfigError

STEMS = ("auto", "small", "large")
_LEAST_SIDE_OF_LARGE = 64  # pixels


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
