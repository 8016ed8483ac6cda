"""What is wrong with stored predictions, in words: of their files, their rows, what they tell."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mpl_tf import files

_ONE = int(np.float16(1).view(np.uint16))  # bits; those of 0 to 1 are in order, all others above
# How far the sum of a row may be from 1: what a model computes in few digits, and what float16
# takes from each class, half of its least step at most.
_OF_MODEL, _OF_CLASS = 1e-2, 2.0**-25


def of_file(path: str, shape: tuple[int, ...], dtype: type) -> str:
    """What is wrong with a .npy file, as far as its header and size tell.

    Args:
      path: the file.
      shape: of the array that it should hold.
      dtype: of that.

    Returns:
      A clause; "" if nothing is.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        with open(path, "rb") as file:
            size = file.seek(0, 2)
    except (OSError, ValueError, EOFError) as error:
        return files.reason(error)
    if array.shape != shape:
        return "it has another shape"
    if array.dtype != dtype:
        return f"it has numbers of another type, {array.dtype}"
    return "" if size == array.offset + array.nbytes else "it has another size"


def of_rows(probs: np.ndarray) -> str:
    """What is wrong with class probabilities.

    >>> of_rows(np.array([[0.5, 0.5], [0.5, 0.75]], np.float16))
    'row 1 has the sum 1.25'

    Args:
      probs: float16 [n, K].

    Returns:
      A clause that names the first row that is none; "" if all are.
    """
    is_none = (np.ascontiguousarray(probs).view(np.uint16) > _ONE).any(axis=1)
    if is_none.any():
        row = int(np.argmax(is_none))
        value = next(v for v in probs[row].tolist() if not 0 <= v <= 1 or str(v) == "-0.0")
        return f"row {row} has {value:g}, which is no probability"
    sums = probs.sum(axis=1, dtype=np.float32)
    is_off = np.abs(sums - 1) > _OF_MODEL + probs.shape[1] * _OF_CLASS
    if is_off.any():
        row = int(np.argmax(is_off))
        return f"row {row} has the sum {sums[row]:.4g}"
    return ""


def of_about(about: Mapping[str, Any], most_shards: int) -> str:
    """What is wrong with the numbers and names that a folder of predictions tells.

    Args:
      about: a `predictions.About`.
      most_shards: that there may be.

    Returns:
      A clause; "" if nothing is.
    """
    for name in ("number_of_images", "rows_per_shard"):
        if about[name] < 1:
            return f"{name} must be at least 1; received {about[name]}"
    images, rows, shape = (
        about[name] for name in ("number_of_images", "rows_per_shard", "image_shape")
    )
    if images > rows * most_shards:
        return f"rows_per_shard must make at most {most_shards} shards; received {rows}"
    if len(shape) != 3 or min(shape) < 1:
        return f"image_shape must be height, width and channels; received {shape}"
    names = about["class_names"]
    if not names or len(set(names)) != len(names):
        return "class_names must be different names, and at least one"
    return ""
