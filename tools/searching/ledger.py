"""runs.csv: the runs of a search that are done."""

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
COLUMNS = (*_KEY, *ROLES, *MEASURED)


def key_of(trial: Trial, part: str) -> tuple[str, ...]:
    """By which the row of a run is found.

    Args:
      trial: the run.
      part: "validation" or "test", of whose images its accuracies are.
    """
    options = options_text(trial.options)
    return part, trial.condition.name, trial.variant.name, options, str(trial.seed)


def options_text(options: Mapping[str, Any]) -> str:
    """Options as a row has them."""
    return json.dumps(dict(options), sort_keys=True)


def row_of(trial: Trial, part: str, values: dict[str, float]) -> Row:
    """The row of a run."""
    row = dict(zip(_KEY, key_of(trial, part), strict=True))
    return {**dict.fromkeys(COLUMNS, ""), **row, **{k: f"{v:.6g}" for k, v in values.items()}}


def key(row: Row) -> tuple[str, ...]:
    """`key_of` the run of a row."""
    return tuple(row[name] for name in _KEY)


def delivered(row: Row) -> float:
    """Accuracy, in percent, of the network that a run delivers."""
    return accuracy(row, "finetuned" if row["finetuned"] else "ema")


def accuracy(row: Row, role: str) -> float:
    """Accuracy, in percent, of a network."""
    return 100 * float(row[role])


def read(file: pathlib.Path) -> list[Row]:
    """The rows of a file; none if there is none.

    Raises:
      ConfigError: it is damaged.
    """
    if not file.exists():
        return []
    try:
        reader = csv.DictReader(files.read_text(file).splitlines())
        rows = list(reader)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"its columns must be {', '.join(COLUMNS)}")
        for row in rows:
            int(row["seed"]), json.loads(row["options"])
            if None in row or None in row.values():
                raise ValueError(f"a row has {len(COLUMNS)} columns")
            numbers = [float(row[name]) for name in (*ROLES, *MEASURED) if row[name]]
            if not (row["teacher"] and row["ema"]) or not all(math.isfinite(n) for n in numbers):
                raise ValueError("a row has no accuracies")
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise ConfigError(f"{file} is damaged: {files.reason(error)}. Move it away.") from error
    return rows


def write(file: pathlib.Path, rows: Sequence[Row]) -> None:
    """Replaces a file as a whole: a kill loses no run that was kept."""
    with (
        files.whole(str(file)) as partial,
        open(partial, "w", newline="", encoding="utf-8") as opened,
    ):
        writer = csv.DictWriter(opened, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
