"""Whether there is room for features, on the disk and in memory, before they are computed."""

import errno
import math
import os
import shutil

import keras

from mpl_tf import files
from mpl_tf.features.views import CHUNK
from mpl_tf.images import memory
from mpl_tf.networks.sizes import values_of_layers
from mpl_tf.options import ConfigError

_TENSORFLOW = 256 << 20  # bytes of graphs, threads and kernels
_LAYERS = 4  # outputs as large as the largest that are there at once, at most
_IMAGES = 24  # bytes a value of the chunks of images that are read, changed and waiting


def memory_of(backbone: keras.Model, views: int) -> int:
    """Bytes that computing features takes at most, beside what the process has already.

    Args:
      backbone: the network.
      views: views of each image that are made of a chunk.
    """
    largest = max([*values_of_layers(backbone), 1])
    pixels = math.prod(backbone.input_shape[1:])
    weights = sum(math.prod(weight.shape) for weight in backbone.weights)
    of_a_chunk = CHUNK * (4 * _LAYERS * largest + (_IMAGES + views) * pixels)
    return _TENSORFLOW + of_a_chunk + 8 * weights


def check(directory: str, on_disk: int, in_memory: int) -> None:
    """Refuses a computation for which there is no room.

    Args:
      directory: where it writes to; it need not exist.
      on_disk, in_memory: bytes that it takes.

    Raises:
      ConfigError: there is no room, or the folder cannot be written.
    """
    files.check_folder(directory)
    nearest = os.path.abspath(directory)
    while not os.path.lexists(nearest):
        nearest = os.path.dirname(nearest)
    free = shutil.disk_usage(nearest).free
    if on_disk > free:
        raise ConfigError(
            f"features take {in_words(on_disk)} in {directory}, and {in_words(free)} are free "
            "there. Make room, take fewer --cached_weak_views or --cached_strong_views, another "
            "--cache_dir, or --features=off."
        ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    available = memory.available()
    if in_memory > available:
        raise ConfigError(
            f"computing features takes about {in_words(in_memory)} of memory, and "
            f"{in_words(available)} are there. Take a smaller image_size or network."
        )


def in_words(size: int) -> str:
    """A number of bytes to two or three digits, in MiB or GiB."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{max(1, round(size / 2**20))} MiB"
