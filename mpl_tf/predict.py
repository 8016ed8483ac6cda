"""`python -m mpl_tf.predict`: image files in, their classes out."""

import csv
import dataclasses
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mpl_tf import cli, console
from mpl_tf.options import ConfigError, option

COMMAND = cli.Command(
    "python -m mpl_tf.predict",
    """Classify image files with an export, or with what a run has exported. Answers are written to
standard output. Files that cannot be read are named on standard error, and the others classified.

  python -m mpl_tf.predict --model=runs/digits-mpl-0 pictures/ more.png
  find . -name '*.jpg' | python -m mpl_tf.predict --model=my_model --format=csv -""",
    files="image files, folders of them at any depth, or - for a list of paths on standard input",
    failed="some files could not be classified",
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Which model answers, and how."""

    model: str = option(
        "", "An export, a folder of versions of one, or the folder of a run or of auto.", path=True
    )
    format: str = option(
        "jsonl",
        "jsonl: one JSON object a line, with file, predicted, probability and top. csv: with a "
        "header. table: for reading.",
        choices=("jsonl", "csv", "table"),
    )
    top: int = option(5, "How many of the most probable classes are told, at most.", low=1)
    batch: int = option(32, "Files that are classified at once.", low=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 if all files were classified, 1 if some could not be, 2 bad input, 130
      stopped by the keyboard, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, cli.parser(COMMAND, Options), _predict)


def _predict(options: Options, names: list[str]) -> int:
    if not options.model:
        meant = f" Did you mean --model={names[0]}?" if os.path.isdir(names[0]) else ""
        raise ConfigError(
            f"--model must be an export or the folder of a run; received none.{meant}"
        )
    if not os.path.exists(options.model):
        raise ConfigError(
            f"--model must be an export or a run; there is nothing at {options.model}."
        )
    import tqdm

    from mpl_tf.images.files import list_files
    from mpl_tf.runs import folder as run_folder
    from mpl_tf.serving import loading

    export = loading.load(run_folder.exports_of(options.model))
    serve, class_names = export.signatures.get("serving_bytes"), export.class_names
    if serve is None:
        raise ConfigError(f"{export.path} takes arrays alone: its images are neither grey nor RGB.")
    files, empty = list_files(names)
    writer = _Writer(options.format, class_names, min(options.top, len(class_names)))
    failed = len(empty)
    with (
        console.quiet_decoders(),
        tqdm.tqdm(total=len(files), unit="file", disable=None, leave=False) as bar,
    ):
        for folder, reason in empty:
            bar.write(f"{console.printable(folder)} {reason}", file=sys.stderr)
        for line in writer.header():
            bar.write(line)
        for first in range(0, len(files), options.batch):
            batch = files[first : first + options.batch]
            for file, probs, reason in classify(serve, batch):
                if probs is None:
                    failed += 1
                    bar.write(f"{console.printable(file)} {reason}", file=sys.stderr)
                else:
                    bar.write(writer.line(file, probs))
            bar.update(len(batch))
            sys.stdout.flush()
    if failed:
        total = len(files) + len(empty)
        console.complain(f"{failed} of {total} could not be classified.")
    return cli.FAILED if failed else cli.DONE


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
    import tensorflow as tf

    from mpl_tf.images import check, header

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
    for file in files:
        yield file, rows.get(file), reasons.get(file, "")


class _Writer:
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
        return [_csv(["file", "predicted", "probability", *others])]

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
            return _csv([file, *(value for entry in top for value in entry.values())])
        columns = [f"{e['predicted']:<{self._width}} {e['probability']:6.1%}" for e in top]
        return "  ".join([*columns, console.printable(file)])


def _csv(row: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
