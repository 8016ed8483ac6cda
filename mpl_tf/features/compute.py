"""The backbone's features of the views of images, chunk after chunk."""

import collections
import concurrent.futures
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf
import tqdm

from mpl_tf import console
from mpl_tf.data.dataset import Images
from mpl_tf.features.cache import Cache
from mpl_tf.features.views import CHUNK, ViewSet
from mpl_tf.options import ConfigError

_AHEAD = 2  # passes whose views are made before it is their turn
# Images uint8 [CHUNK, H, W, C] -> features [CHUNK, F].
Forward: TypeAlias = Callable[[tf.Tensor], tf.Tensor]


def forward(backbone: keras.Model) -> Forward:
    """The pass of a backbone that makes features: without dropout, traced once."""
    # No lambda: of those of one line TensorFlow warns that one is traced often.
    return tf.function(functools.partial(backbone, training=False), autograph=False)


def fill(
    cache: Cache,
    images: Images,
    view_set: ViewSet,
    run: Forward,
    chunks: Sequence[int],
    bar: tqdm.tqdm,
) -> None:
    """Computes the chunks of a cache that are missing, if no other process does it meanwhile.

    Args:
      cache: of these images and views.
      images: all of the cache.
      view_set: their views.
      run: by `forward`, of the backbone.
      chunks: those that must be there at the end.
      bar: counts views.

    Raises:
      ConfigError: features are no numbers, or too large for the cache's dtype.
      cache.CacheError: they could not be written.
    """
    with cache.filling() as filling:
        missing = sorted(cache.missing(chunks))
        bar.update(view_set.count * (rows_of(chunks, images) - rows_of(missing, images)))
        for chunk, features in _features(images, view_set, run, missing, bar):
            last = min(CHUNK, len(images) - chunk * CHUNK)
            filling.write(chunk, narrowed(features[:last], cache.dtype))


def rows_of(chunks: Sequence[int], images: Images) -> int:
    """How many images there are in chunks."""
    return sum(min(CHUNK, len(images) - chunk * CHUNK) for chunk in chunks)


def _features(
    images: Images,
    view_set: ViewSet,
    run: Forward,
    chunks: Sequence[int],
    bar: tqdm.tqdm,
) -> Iterator[tuple[int, np.ndarray]]:
    """(chunk, its features [CHUNK, V, F]) of each; the last images may be there more than once."""
    rows: list[np.ndarray] = []
    with console.quiet_decoders():
        for number, views in enumerate(pixels(images, view_set, chunks)):
            rows.append(run(views).numpy())
            chunk = chunks[number // view_set.count]
            bar.update(rows_of([chunk], images))
            if len(rows) == view_set.count:
                yield chunk, np.stack(rows, axis=1)
                rows = []


def pixels(images: Images, view_set: ViewSet, chunks: Sequence[int]) -> Iterator[tf.Tensor]:
    """What the backbone sees: the views of each chunk in turn.

    They are made in threads, some passes ahead. Not by tf.data, which prepares the many operations
    of a strong view anew for each Dataset, in seconds.

    Args:
      images: from which.
      view_set: of which views.
      chunks: their numbers, in ascending order.

    Yields:
      uint8 [CHUNK, H, W, C]; at the end of `images` the last one is repeated.
    """
    with tf.device("CPU"):
        positions = tf.constant(images.positions)
    numbers = tf.data.Dataset.from_tensor_slices(np.asarray(chunks, np.int64))

    def of_chunk(chunk):
        places = tf.minimum(chunk * CHUNK + tf.range(CHUNK, dtype=tf.int64), len(images) - 1)
        return tf.gather(positions, places)

    read = images.store.batches(numbers.map(of_chunk), CHUNK)
    data = iter(tf.data.Dataset.zip(numbers, read.prefetch(1)))
    every_view = tf.range(view_set.count, dtype=tf.int64)
    views = ((seen, chunk, number) for chunk, seen in data for number in every_view)
    with concurrent.futures.ThreadPoolExecutor(_AHEAD) as pool:
        under_way: collections.deque[concurrent.futures.Future] = collections.deque()
        for arguments in views:
            under_way.append(pool.submit(view_set.traced, *arguments))
            if len(under_way) > _AHEAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def narrowed(features: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Features in a dtype.

    Args:
      features: of any shape.
      dtype: floating.

    Raises:
      ConfigError: they are NaN or infinite, or become so.
    """
    with np.errstate(over="ignore"):
        narrow = features.astype(dtype)
    if np.isfinite(narrow).all():
        return narrow
    if np.isfinite(features).all():
        raise ConfigError(
            f"features of up to {np.abs(features).max():.3g} are too large for {dtype}: "
            "--cache_dtype=float32 holds them."
        )
    raise ConfigError("the backbone gives features that are NaN or infinite: check its weights.")
