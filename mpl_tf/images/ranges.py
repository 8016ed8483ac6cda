"""Images whose values are not those of uint8, and the formula that makes them so."""

import numpy as np

_TO_UINT8 = ".round().astype('uint8')"


def formula(dtype: np.dtype, low: float, high: float, whole: bool) -> str:
    """Python that makes uint8 of an array called `images`, by the values that it has.

    Args:
      dtype: of the array: numbers or booleans.
      low: its least value.
      high: its greatest value.
      whole: whether all values are whole numbers.

    Returns:
      An expression that maps what looks like the range of the values to 0 to 255: black to white,
      in proportion.
    """
    if dtype == np.bool_:
        return "images.astype('uint8') * 255"
    if low >= 0 and high <= 1:
        return f"(images * 255.0){_TO_UINT8}"
    if low >= 0 and high <= 255:
        return "images.astype('uint8')" if whole else f"images{_TO_UINT8}"
    if low >= -0.5 and high <= 0.5:
        return f"((images + 0.5) * 255.0){_TO_UINT8}"
    if low >= -1 and high <= 1:
        return f"((images + 1.0) * 127.5){_TO_UINT8}"
    if dtype == np.int8:
        return "(images.astype('int16') + 128).astype('uint8')"
    if dtype == np.uint16 and high >= 1 << 15:
        return f"(images / 257){_TO_UINT8}"
    shifted = f"images - {low:g}" if low >= 0 else f"images + {-low:g}"
    return f"(({shifted}) * {255 / max(high - low, 1e-9):g}).clip(0, 255){_TO_UINT8}"


def advice(images: np.ndarray) -> str:
    """A sentence with the range of an array that is not uint8, and what makes it so.

    Args:
      images: numbers or booleans, at least one, all finite.
    """
    low, high = float(images.min()), float(images.max())
    whole = not np.issubdtype(images.dtype, np.floating) or bool((images == images.round()).all())
    python = formula(images.dtype, low, high, whole)
    guess = ""
    if "clip" in python:
        guess = (
            " That takes the least and the greatest value here for black and white; if you know "
            "the range, or the mean and the deviation they were standardised with, use those."
        )
    return (
        f"received {images.dtype} from {low:g} to {high:g}. Convert all images alike, with "
        f"{python}.{guess}"
    )
