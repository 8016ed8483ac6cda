"""What candidates answer on held-out images, as files."""

import os
import re

import numpy as np

from mpl_tf import files
from mpl_tf.auto.material import Material


class Answers:
    """The files of all candidates: one of each that is done, and before that one of each fold.

    Args:
      path: the folder, which is made if it is not there.
      material: of which the held-out images are.

    Raises:
      OSError: it cannot be made.
    """

    def __init__(self, path: str, material: Material):
        os.makedirs(path, exist_ok=True)
        self._path, self._material = path, material

    def stem(self, name: str) -> str:
        """How the paths of a candidate's files begin."""
        return os.path.join(self._path, re.sub(r"[^a-z0-9_]+", "-", name))

    def file(self, name: str) -> str:
        """The path of what a candidate answers."""
        return f"{self.stem(name)}.npy"

    def read(self, name: str) -> np.ndarray | None:
        """Logits [H, K] of a candidate; None if they are gone, damaged, or of other images."""
        held_out, logits = self._material.held_out(), read(self.file(name))
        shape = (0 if held_out is None else len(held_out), self._material.num_classes)
        return logits if logits is not None and logits.shape == shape else None

    def drop_folds(self, name: str) -> None:
        """Removes what is not needed any more once the candidate is done.

        Raises:
          OSError: a file cannot be removed.
        """
        for file in of_folds(self.stem(name), self._material.trainings):
            files.remove(file)


def of_folds(stem: str, count: int) -> list[str]:
    """The paths of what the networks of a candidate answer, in the order of folds."""
    return [f"{stem}-fold-{number}.npy" for number in range(count)]


def read(path: str) -> np.ndarray | None:
    """Logits that `write` has written; None if there are none that can be read."""
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError):
        return None


def write(path: str, logits: np.ndarray) -> None:
    """Writes logits as a file that is whole or not there.

    Raises:
      OSError: it cannot be written.
    """
    with files.whole(path) as partial:
        np.save(partial, logits)
