"""runs.csv: the runs of a search that are done, and those that failed."""

import csv
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from mpl_tf import files
from mpl_tf.engine.roles import ROLES
from mpl_tf.options import ConfigError
from searching.trials import MEASURED, Trial

Row = dict[str, str]

_KEY = ("part", "condition", "variant", "options", "seed")
_NUMBERS = (*ROLES, *MEASURED)
# The commit of the code, empty outside of a checkout; why the run failed, empty if it did not.
_OF_RUN = ("git_revision", "failed")
COLUMNS = (*_KEY, *_NUMBERS, *_OF_RUN)


def key_of(trial: Trial, part: str) -> tuple[str, ...]:
    """By which the row of a run is found.

    Args:
      trial: the run.
      part: "validation" or "test", of whose images its accuracies are.
    """
    options = options_text(trial.options)
    return part, trial.condition.name, trial.variant.name, options, str(trial.seed)


def options_text(options: Mapping[str, Any]) -> str:
    """Options as a row has them; a number is the same with and without a point.

    >>> options_text({"uda_weight": 1}) == options_text({"uda_weight": 1.0})
    True
    """
    values = {k: float(v) if type(v) is int else v for k, v in options.items()}
    return json.dumps(values, sort_keys=True)


def row_of(
    trial: Trial, part: str, values: Mapping[str, float], revision: str = "", failed: str = ""
) -> Row:
    """The row of a run.

    Args:
      trial, part: as of `key_of`.
      values: as of `trials.Runner.run`; none of a run that failed.
      revision: the commit of the code.
      failed: why it failed.
    """
    row = dict(zip(_KEY, key_of(trial, part), strict=True))
    row |= {name: f"{value:.6g}" for name, value in values.items()}
    return {**dict.fromkeys(COLUMNS, ""), **row, "git_revision": revision, "failed": failed}


def key(row: Row) -> tuple[str, ...]:
    """`key_of` the run of a row."""
    return tuple(row[name] for name in _KEY)


def finished(rows: Sequence[Row]) -> list[Row]:
    """Those of the rows whose runs did not fail."""
    return [row for row in rows if not row["failed"]]


def delivered(row: Row) -> float:
    """Accuracy, in percent, of the network that a run delivers."""
    return accuracy(row, "finetuned" if row["finetuned"] else "ema")


def accuracy(row: Row, role: str) -> float:
    """Accuracy, in percent, of a network."""
    return 100 * float(row[role])


def read(file: pathlib.Path) -> list[Row]:
    """The rows of a file; none if there is none.

    Raises:
      ConfigError: it is damaged; the message names the line and the column.
    """
    if not file.exists():
        return []
    rows, remedy = [], "Move it away"
    try:
        reader = csv.DictReader(files.read_text(file).splitlines())
        header = tuple(reader.fieldnames or ())
        if header not in (COLUMNS, COLUMNS[: -len(_OF_RUN)]):  # the latter is read, too
            raise ValueError(f"its columns must be {', '.join(COLUMNS)}")
        for row in reader:
            if fault := _fault(row, len(header)):
                remedy = "Remove the line, and its run is repeated, or move the file away"
                raise ValueError(f"line {reader.line_num}, {fault}")
            options = options_text(json.loads(row["options"]))
            rows.append({**dict.fromkeys(_OF_RUN, ""), **row, "options": options})
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(f"{file} is damaged: {files.reason(error)}. {remedy}.") from error
    return rows


def _fault(row: Row, columns: int) -> str:
    """What is wrong with a row that is read, in words; "" if nothing is."""
    if None in row or None in row.values():
        return f"it must have {columns} columns"
    if not row["seed"].isdecimal():
        return f"column seed: {row['seed']!r} is no whole number"
    if not _is_object(row["options"]):
        return f"column options: {row['options']!r} has no options"
    for name in _NUMBERS:
        if row[name] and not _is_finite(row[name]):
            return f"column {name}: {row[name]!r} is no finite number"
        if name in ("teacher", "ema") and not row[name] and not row.get("failed"):
            return f"column {name}: it is empty"
    return ""


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def write(file: pathlib.Path, rows: Sequence[Row]) -> None:
    """Replaces a file as a whole: a kill loses no run that was kept."""
    with (
        files.whole(str(file)) as partial,
        open(partial, "w", newline="", encoding="utf-8") as opened,
    ):
        writer = csv.DictWriter(opened, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
