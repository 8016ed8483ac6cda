"""What a part of a dataset holds, so that it can be compared with the same part another day."""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np

_NAMED = 3  # images in a message, of each sort


@dataclasses.dataclass(frozen=True)
class Contents:
    """One row an image, or, of a stream, one a file of images.

    Attributes:
      names: str or objects that are str, [N], unique, as they are inside the dataset's folder.
      labels: int64 [N], -1 where there is none.
      digests: uint64 [N], equal for equal content.
    """

    names: np.ndarray
    labels: np.ndarray
    digests: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def arrays(self) -> dict[str, np.ndarray]:
        """The attributes by name, none of objects."""
        of = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return of | {"names": self.names.astype(str)}

    def digest(self) -> str:
        """Of names, labels and content: equal for equal parts, 16 hexadecimal digits."""
        texts = [" ".join(map(str, array.tolist())) for array in self.arrays().values()]
        return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def differences(self, later: "Contents") -> str:
        """How `later` differs from this, in words; "" if it does not."""
        there, here = self.names.astype(str), later.names.astype(str)
        if len(self) == len(later) and (there == here).all():
            rows = later_rows = np.arange(len(self))
        else:
            _, rows, later_rows = np.intersect1d(
                there, here, assume_unique=True, return_indices=True
            )
        names = there[rows]
        differs = {
            "removed": np.setdiff1d(there, names, assume_unique=True),
            "added": np.setdiff1d(here, names, assume_unique=True),
            "replaced": names[self.digests[rows] != later.digests[later_rows]],
            "labeled differently": names[self.labels[rows] != later.labels[later_rows]],
        }
        texts = [_counted(how, changed) for how, changed in differs.items() if len(changed)]
        if not texts and (rows != later_rows).any():
            texts = ["in another order"]
        return ", ".join(texts)


def _counted(how: str, names: np.ndarray) -> str:
    examples = ", ".join(map(str, names[:_NAMED].tolist()))
    return f"{len(names):,} {how} ({examples}{', ...' if len(names) > _NAMED else ''})"


def differences(there: Mapping[str, Contents], here: Mapping[str, Contents]) -> list[str]:
    """How the parts `here` differ from those `there`: in words, one entry a part that does."""
    none = Contents(np.array([], str), np.array([], np.int64), np.array([], np.uint64))
    texts = {
        part: there.get(part, none).differences(here.get(part, none))
        for part in dict.fromkeys([*there, *here])
    }
    return [f"{part}: {text}" for part, text in texts.items() if text]
