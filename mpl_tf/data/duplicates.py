"""Images that are there more than once: between parts of a dataset, and with different labels."""

from collections.abc import Mapping

import numpy as np

from mpl_tf.data.contents import Contents

_NAMED = 3  # pairs in a message
_HELD_OUT = ("test", "validation")


def shared(held_out: Contents, other: Contents) -> tuple[np.ndarray, np.ndarray]:
    """Images of one part that are in another part too.

    Returns:
      (rows, other_rows): int64 [n] each, rows of `held_out` in order and, for each, the first row
      of `other` with the same image.
    """
    digests, first = np.unique(other.digests, return_index=True)
    rows = np.flatnonzero(np.isin(held_out.digests, digests))
    return rows, first[np.searchsorted(digests, held_out.digests[rows])]


def repeated(part: Contents) -> int:
    """How many images of a part are copies of one before them."""
    return len(part) - len(np.unique(part.digests))


def contradictions(part: Contents) -> list[np.ndarray]:
    """Groups of the same image that has different labels: rows, int64 [n] each."""
    order = np.argsort(part.digests, kind="stable")
    digests = part.digests[order]
    groups = np.split(order, np.flatnonzero(digests[1:] != digests[:-1]) + 1)
    return [rows for rows in groups if len(np.unique(part.labels[rows])) > 1]


def leaks(parts: Mapping[str, Contents]) -> list[str]:
    """Images that are held out and seen in training at once, in words; one entry a pair of parts.

    Args:
      parts: part -> its images; "test" and "validation" are held out.
    """
    texts = []
    for held_out in (name for name in _HELD_OUT if name in parts):
        for other in (name for name in parts if name not in ("test", held_out)):
            rows, other_rows = shared(parts[held_out], parts[other])
            if len(rows):
                names = zip(
                    parts[held_out].names[rows], parts[other].names[other_rows], strict=True
                )
                pairs = [f"{name} = {other_name}" for name, other_name in names][: _NAMED + 1]
                pairs[_NAMED:] = ["..."] * (len(pairs) > _NAMED)
                texts.append(
                    f"{len(rows):,} of {len(parts[held_out]):,} {held_out} images are in {other} "
                    f"too ({', '.join(pairs)})"
                )
    return texts
