"""The surest images of each class, from stored predictions, in one pass that holds no more."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from mpl_tf.formulas import selection
from mpl_tf.options import ConfigError
from mpl_tf.pools.predictions import Predictions

_BLOCK_BYTES = 1 << 25  # of predictions that are looked at together
_LEAST_ROWS = 1 << 16  # pairs that wait to be sorted in, even if few are kept


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of an image and a class, by class and then from the surest one on.

    Attributes:
      classes: int64 [n], class ids.
      confidences: float16 [n], of the class in the image.
      positions: int64 [n], of the images in the pool.
      digests: uint64 [n], of their content.
    """

    classes: np.ndarray
    confidences: np.ndarray
    positions: np.ndarray
    digests: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, index: np.ndarray) -> "Pairs":
        """The pairs at `index`, integers or bool, in that order."""
        return Pairs(*(getattr(self, field.name)[index] for field in dataclasses.fields(self)))

    @classmethod
    def join(cls, parts: Sequence["Pairs"]) -> "Pairs":
        """The pairs of all parts, at least one, one part after the other."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class Surest:
    """The surest pairs of each class among all that are shown, block by block.

    From one block to the next at most num_classes * per_class pairs are kept, and fewer than these,
    or than 65,536, wait to be sorted in: however many images there are.

    Args:
      num_classes: K.
      per_class: pairs that a class keeps at most.
      candidates: classes that an image may be kept for.
      held_out: uint64 [h], digests of images that are not kept, sorted.
    """

    def __init__(self, num_classes: int, per_class: int, candidates: int, held_out: np.ndarray):
        self._num_classes, self._per_class = num_classes, per_class
        self._candidates, self._held_out = candidates, held_out
        none = np.empty(0, np.int64)
        empty = Pairs(none, none.astype(np.float16), none, none.astype(np.uint64))
        self._kept, self._waiting = empty, [empty]
        # Those of the last pair of each class; one that is not full takes all but confidences of 0.
        self._least = np.full(num_classes, np.nextafter(np.float16(0), np.float16(1)))
        self._digest_of_least = np.full(num_classes, np.iinfo(np.uint64).max)

    @property
    def held(self) -> int:
        """How many pairs are in memory."""
        return len(self._kept) + sum(map(len, self._waiting))

    def add(self, first: int, probs: np.ndarray, digests: np.ndarray) -> int:
        """Looks at a block of images.

        Args:
          first: position of the first one.
          probs: float16 [n, K].
          digests: uint64 [n].

        Returns:
          How many of them are held out.
        """
        out = np.isin(digests, self._held_out)
        # The bits of floating numbers that are not negative are in their order, and are faster.
        is_sure = probs.view(np.int16) >= self._least.view(np.int16)
        rows, classes = np.nonzero(is_sure & selection.likeliest(probs, self._candidates))
        of_least = probs[rows, classes] == self._least[classes]
        good = ~of_least | (digests[rows] <= self._digest_of_least[classes])
        good &= ~out[rows]
        rows, classes = rows[good], classes[good]
        found = Pairs(classes, probs[rows, classes], rows + first, digests[rows])
        if len(found):
            self._waiting.append(found)
        limit = max(_LEAST_ROWS, self._num_classes * self._per_class)
        if sum(map(len, self._waiting)) >= limit:
            self._sort_in()
        return int(out.sum())

    def pairs(self) -> Pairs:
        """The surest of all that were shown."""
        self._sort_in()
        return self._kept

    def _sort_in(self) -> None:
        pairs = Pairs.join([self._kept, *self._waiting])
        self._waiting = []
        kept = selection.surest(pairs.classes, pairs.confidences, pairs.digests, self._per_class)
        self._kept = pairs.take(kept)
        counts = np.bincount(self._kept.classes, minlength=self._num_classes)
        full = np.flatnonzero(counts == self._per_class)
        last = np.cumsum(counts)[full] - 1
        self._least[full] = self._kept.confidences[last]
        self._digest_of_least[full] = self._kept.digests[last]


def choose(
    predictions: Predictions,
    per_class: int,
    candidates: int,
    held_out: np.ndarray,
    progress: Callable[[int], object] = lambda images: None,
) -> tuple[Pairs, int]:
    """The surest images of each class of a pool.

    Args:
      predictions: of all its images.
      per_class: images that a class keeps at most.
      candidates: classes that an image may be kept for: those that it is likeliest of.
      held_out: uint64 [h], digests of images that are not kept, as those of validation and test.
      progress: called with the number of images that were looked at since the last call.

    Returns:
      (pairs, left_out): the choice; how many images were held out.

    Raises:
      ConfigError: there are fewer classes than candidates.
    """
    classes = len(predictions.class_names)
    if candidates > classes:
        raise ConfigError(
            f"candidates must be at most the {classes} classes of {predictions.path}; received "
            f"{candidates}."
        )
    surest, left_out = Surest(classes, per_class, candidates, np.unique(held_out)), 0
    rows = max(1, _BLOCK_BYTES // (2 * classes))
    for first, probs, digests in predictions.blocks(rows):
        left_out += surest.add(first, probs, digests)
        progress(len(probs))
    return surest.pairs(), left_out
