"""What an export answers to image files, and the lines in which it is told."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mpl_tf import console, files
from mpl_tf.images import check, header


def classify(
    serve: Callable[..., Any], files: Sequence[str]
) -> Iterator[tuple[str, np.ndarray | None, str]]:
    """Answers of a batch of files.

    Args:
      serve: the signature `serving_bytes` of an export.
      files: paths.

    Yields:
      (file, probabilities, reason) in order: float32 [K] and "", or None and what is wrong.
    """
    contents, reasons = {}, {}
    for file in files:
        try:
            contents[file] = check.read(file)
        except OSError as error:
            reasons[file] = f"cannot be read: {error.strerror}"

    def leave_out_broken(suspects: Sequence[str]) -> None:
        for file in suspects:
            reason = check.verify(contents[file])
            if reason:
                reasons[file] = reason
                del contents[file]

    def answers(files: Sequence[str]) -> dict[str, np.ndarray]:
        encoded = tf.constant([contents[file] for file in files], tf.string)
        return dict(zip(files, serve(image_bytes=encoded)["probabilities"].numpy(), strict=True))

    # A GIF may hold more frames than fit into memory; of all else the export says what is wrong.
    leave_out_broken([f for f, data in contents.items() if header.sniff(data) in (None, "gif")])
    try:
        rows = answers(list(contents))
    except tf.errors.InvalidArgumentError:
        leave_out_broken(list(contents))
        rows = {}
        for file in contents:
            try:
                rows |= answers([file])
            except tf.errors.InvalidArgumentError:
                reasons[file] = "is refused by this export; a newer one may take it"
    for file in [file for file, probs in rows.items() if not np.isfinite(probs).all()]:
        reasons[file] = "has probabilities that are NaN or infinite: check the weights of the model"
        del rows[file]
    for file in files:
        yield file, rows.get(file), reasons.get(file, "")


class Writer:
    """Lines of one format.

    Args:
      format: "jsonl", "csv" or "table".
      class_names: one a class.
      top: classes told a file, at most the number of classes.
    """

    def __init__(self, format: str, class_names: Sequence[str], top: int):
        self._format, self._class_names, self._top = format, class_names, top
        self._width = max(map(len, class_names))

    def header(self) -> list[str]:
        """The lines before the first file."""
        if self._format != "csv":
            return []
        ranks = range(2, self._top + 1)
        others = [f"{column}_{rank}" for rank in ranks for column in ("predicted", "probability")]
        return [files.csv_line(["file", "predicted", "probability", *others])]

    def line(self, file: str, probs: np.ndarray) -> str:
        """The answer for a file with its class probabilities [K]."""
        best = np.argsort(-probs, kind="stable")[: self._top]
        top = [{"predicted": self._class_names[k], "probability": float(probs[k])} for k in best]
        if self._format == "jsonl":
            answer = {"file": file, **top[0], "top": top}
            text = json.dumps(answer, ensure_ascii=False)
            try:
                text.encode(sys.stdout.encoding or "utf-8")
            except UnicodeEncodeError:  # JSON has escapes of its own for what cannot be shown
                return json.dumps(answer)
            return text
        if self._format == "csv":
            return files.csv_line([file, *(value for entry in top for value in entry.values())])
        columns = [f"{e['predicted']:<{self._width}} {e['probability']:6.1%}" for e in top]
        return "  ".join([*columns, console.printable(file)])
