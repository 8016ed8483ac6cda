"""The cached features of a dataset: which caches there are, and what is read of them."""

import os
import time
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tqdm

from mpl_tf import console
from mpl_tf.console import log
from mpl_tf.data.dataset import Images, Pool
from mpl_tf.features import compute, fingerprint, room
from mpl_tf.features.cache import Cache
from mpl_tf.features.views import CHUNK, PLAIN, ViewSet
from mpl_tf.options import ConfigError


class Features:
    """The features of a dataset's images, each part and each sort of view in a cache of its own.

    An image is called by its row: its place among the images of all parts.

    Args:
      backbone: images [N, H, W, C] with values 0 to 255 -> features [N, F].
      parts: name -> all images of a part of the dataset, such as "train".
      view_sets: by name, of which there is `views.PLAIN`.
      directory: where caches lie, which runs share; it need not exist.
      dtype: in which features are kept.

    Attributes:
      backbone: as given.
      digest: its `fingerprint.of_backbone`.
      size: F.
      directory, dtype: as given.
    """

    def __init__(
        self,
        backbone: keras.Model,
        parts: Mapping[str, Images],
        view_sets: Mapping[str, ViewSet],
        directory: str,
        dtype: str = "float16",
    ):
        self.backbone, self.digest = backbone, fingerprint.of_backbone(backbone)
        self._forward = compute.forward(backbone)
        self.size: int = backbone.output_shape[-1]
        self._parts, self._view_sets = list(parts.values()), dict(view_sets)
        self._firsts = np.cumsum([0, *map(len, self._parts)])  # the first row of each part
        self.directory, self.dtype = directory, dtype
        self._digests: dict[int, str] = {}  # of the images of parts
        self._caches: dict[tuple[int, ViewSet], Cache] = {}

    def view_set(self, name: str) -> ViewSet:
        """The views called `name`."""
        return self._view_sets[name]

    def rows(self, images: Images) -> np.ndarray:
        """The rows of images, int64 [n].

        Raises:
          ValueError: an image is in no part.
        """
        rows = np.full(len(images), -1, np.int64)
        for first, part in zip(self._firsts, self._parts, strict=False):
            if part.store is images.store:
                places = np.full(max(part.positions.max(), images.positions.max()) + 1, -1)
                places[part.positions] = np.arange(len(part))
                there = places[images.positions]
                rows = np.where((rows < 0) & (there >= 0), first + there, rows)
        if (rows < 0).any():
            raise ValueError(f"{(rows < 0).sum()} images are in no part whose features are cached.")
        return rows

    def prepare(self, requests: Sequence[tuple[str, Images]]) -> None:
        """Computes what is not cached yet, with a bar on a terminal.

        Args:
          requests: (name of the views, the images).

        Raises:
          ConfigError: there is no room on the disk or in memory, or features cannot be cached.
          cache.CacheError: the disk refused something.
        """
        chunks = self._chunks(requests)
        missing = {
            at: missing for at in chunks if (missing := self._cache(*at).missing(chunks[at]))
        }
        if not missing:
            log.info(f"Features: all that is needed is in {self.directory}")
            return
        self._announce(missing)
        start = time.perf_counter()
        total = sum(self._passes(at, numbers) for at, numbers in missing.items())
        with tqdm.tqdm(
            total=total, unit="image", desc="features", disable=console.no_bar(), leave=False
        ) as bar:
            for (part, view_set), numbers in missing.items():
                cache, images = self._cache(part, view_set), self._parts[part]
                compute.fill(cache, images, view_set, self._forward, numbers, bar)
        seconds = time.perf_counter() - start
        log.info(f"Features computed in {console.duration(seconds)}")

    def missing(self, requests: Sequence[tuple[str, Images]]) -> int:
        """Views that `prepare` would have the backbone see."""
        chunks = self._chunks(requests)
        return sum(self._passes(at, self._cache(*at).missing(chunks[at])) for at in chunks)

    def read(self, view_set: ViewSet, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Features [n, F] in the cache's dtype, of images that `prepare` was asked for.

        Args:
          view_set: of which views.
          rows: int64 [n], of the images.
          numbers: integer [n], which view of each.
        """
        parts = np.searchsorted(self._firsts, rows, side="right") - 1
        features = np.empty([len(rows), self.size], self.dtype)
        for part in np.unique(parts):
            chosen = np.flatnonzero(parts == part)
            places = rows[chosen] - self._firsts[part]
            features[chosen] = self._cache(int(part), view_set).read(places, numbers[chosen])
        return features

    def plain(self, images: Images) -> np.ndarray:
        """Features of images as they are read, float32 [n, F]; computes what is missing."""
        if self.missing([(PLAIN, images)]):
            self.prepare([(PLAIN, images)])
        rows = self.rows(images)
        return self.read(self._view_sets[PLAIN], rows, np.zeros_like(rows)).astype(np.float32)

    def _chunks(
        self, requests: Sequence[tuple[str, Images]]
    ) -> dict[tuple[int, ViewSet], list[int]]:
        """(part, views) -> the chunks in which the images of the requests are."""
        chunks: dict[tuple[int, ViewSet], set[int]] = {}
        for name, images in requests:
            rows = self.rows(images)
            parts = np.searchsorted(self._firsts, rows, side="right") - 1
            for part in np.unique(parts):
                places = rows[parts == part] - self._firsts[part]
                at = int(part), self._view_sets[name]
                chunks.setdefault(at, set()).update(np.unique(places // CHUNK).tolist())
        return {at: sorted(numbers) for at, numbers in chunks.items()}

    def _cache(self, part: int, view_set: ViewSet) -> Cache:
        if (part, view_set) not in self._caches:
            images = self._parts[part]
            if part not in self._digests:
                self._digests[part] = fingerprint.of_images(images)
            about = fingerprint.describe(
                self.digest, images, self._digests[part], view_set, self.dtype
            )
            path = os.path.join(self.directory, f"{view_set.name}-{fingerprint.key(about)}")
            shape = len(images), view_set.count, self.size
            self._caches[part, view_set] = Cache(path, about, shape, self.dtype, CHUNK)
        return self._caches[part, view_set]

    def _passes(self, at: tuple[int, ViewSet], chunks: Sequence[int]) -> int:
        """Images that the backbone sees for chunks of a cache."""
        part, view_set = at
        return view_set.count * compute.rows_of(chunks, self._parts[part])

    def _announce(self, missing: Mapping[tuple[int, ViewSet], Sequence[int]]) -> None:
        """Says what the computation costs; refuses it if there is no room for that.

        Raises:
          ConfigError: there is none.
        """
        passes = sum(self._passes(at, numbers) for at, numbers in missing.items())
        sorts = {view_set.name: view_set.count for _, view_set in missing}
        on_disk = sum(self._cache(*at).bytes_of(len(numbers)) for at, numbers in missing.items())
        in_memory = max(room.memory_of(self.backbone, view_set.count) for _, view_set in missing)
        in_words = " and ".join(_in_words(name, count) for name, count in sorts.items())
        log.info(
            f"Features: the network sees {passes:,} images ({in_words}), once for all runs with "
            f"these weights and images; {room.in_words(on_disk)} in {self.directory}, "
            f"about {room.in_words(in_memory)} of memory while they are computed"
        )
        room.check(self.directory, on_disk, in_memory)


def _in_words(view: str, count: int) -> str:
    if view == PLAIN:
        return "each once as it is"
    times = f"{count} times" if count > 1 else "once"
    return f"each {times} with {view} changes"


def with_positions(pool: Pool) -> Images:
    """Unlabeled images, which must have positions.

    Raises:
      ConfigError: they have none.
    """
    if not isinstance(pool, Images):
        raise ConfigError(
            "features can be cached of images that have positions: files in folders, arrays, "
            f"TensorFlow Datasets; the unlabeled images are a {type(pool).__name__}, which is read "
            "in order alone. --features=off trains the head without a cache."
        )
    return pool
