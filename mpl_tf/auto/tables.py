"""The lists that are delivered, as CSV files that appear whole or not at all."""

from collections.abc import Iterable, Sequence

import numpy as np

from mpl_tf import files

PREDICTIONS, LABEL_NEXT = "predictions.csv", "label_next.csv"
SUSPICIOUS, CANDIDATES = "suspicious_labels.csv", "candidates.csv"


def write(path: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file in UTF-8; numbers of floating point have six digits.

    Names of files that are no text, which some systems allow, have escapes.

    Args:
      path: the file.
      header: names of the columns.
      rows: as many values each.

    Raises:
      OSError: it cannot be written.
    """
    lines = [header, *([_cell(value) for value in row] for row in rows)]
    files.write_text(path, "".join(f"{files.csv_line(line)}\n" for line in lines))


def _cell(value: object) -> object:
    if isinstance(value, float | np.floating):
        return f"{value:.6f}"
    return str(value).encode("utf-8", "backslashreplace").decode()


def write_predictions(
    path: str, names: np.ndarray, probs: np.ndarray, class_names: Sequence[str]
) -> None:
    """`predictions.csv`: each unlabeled image with its likeliest class.

    Args:
      path: the file.
      names: array [N], as the dataset names its images.
      probs: floating [N, K], class probabilities.
      class_names: K of them.

    Raises:
      OSError: it cannot be written.
    """
    best = np.argmax(probs, axis=-1)
    rows = (
        (name, class_names[k], probs[i, k])
        for i, (name, k) in enumerate(zip(names, best, strict=True))
    )
    write(path, ("file", "predicted", "probability"), rows)


def write_label_next(
    path: str,
    names: np.ndarray,
    probs: np.ndarray,
    class_names: Sequence[str],
    chosen: np.ndarray,
) -> None:
    """`label_next.csv`: the images whose labels would help most, with their two likeliest classes.

    Args:
      path: the file.
      names, probs, class_names: as for `write_predictions`.
      chosen: integer [n], positions, of `label_next.choose`.

    Raises:
      OSError: it cannot be written.
    """
    order = np.argsort(-probs[chosen], axis=-1, kind="stable")[:, :2]
    rows = (
        (names[i], class_names[a], probs[i, a], class_names[b], probs[i, b])
        for i, (a, b) in zip(chosen, order, strict=True)
    )
    write(path, ("file", "predicted", "probability", "predicted_2", "probability_2"), rows)


def write_suspicious(
    path: str,
    names: np.ndarray,
    labels: np.ndarray,
    probs: np.ndarray,
    class_names: Sequence[str],
    positions: np.ndarray,
    classes: np.ndarray,
) -> None:
    """`suspicious_labels.csv`: labeled images that are predicted to be of another class.

    Args:
      path: the file.
      names: array [N], of the labeled images.
      labels: integer [N].
      probs: floating [N, K], out-of-fold.
      class_names: K of them.
      positions, classes: of `suspicious.find`.

    Raises:
      OSError: it cannot be written.
    """
    rows = (
        (names[i], class_names[labels[i]], probs[i, labels[i]], class_names[k], probs[i, k])
        for i, k in zip(positions, classes, strict=True)
    )
    header = ("file", "label", "label_probability", "predicted", "probability")
    write(path, header, rows)
