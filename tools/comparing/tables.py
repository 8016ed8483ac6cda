"""Means, intervals and paired tests of a comparison, as Markdown and CSV."""

import argparse
import collections
import os
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from comparing import paired
from comparing.cells import Cell, parts
from mpl_tf import files
from mpl_tf.engine.roles import ROLES
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError

Done = Mapping[Cell, Mapping[str, Any]]  # results.json of each cell that is done
# (method, num_labeled) -> seed -> results.json
Groups = dict[tuple[str, int], dict[int, Mapping[str, Any]]]

_SHA = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28}\b")  # of a commit, of which the beginning will do
# The share of a run, at its end, of whose evaluations on validation images the median is shown.
LAST = 0.25


def accuracies(results: Mapping[str, Any]) -> dict[str, float | None]:
    """dict of network -> accuracy on test images, or on validation images where there are none."""
    return results.get("test_accuracy") or results["validation_accuracy"]


def measured_part(done: Done) -> str:
    """Which images accuracies are of: "test", or "validation" where there are no test images."""
    return "test" if all(r.get("test_accuracy") for r in done.values()) else "validation"


def delivered(results: Mapping[str, Any]) -> float:
    """Accuracy, in percent, of the network that a run delivers."""
    accuracy = accuracies(results)
    last = "ema" if accuracy["finetuned"] is None else "finetuned"
    return 100 * accuracy[results.get("delivered", last)]


def last_of(steps: Sequence[int], values: Sequence[float]) -> list[float]:
    """Of values by step (two lists of the same length), those of the last quarter of the steps."""
    return [v for s, v in zip(steps, values, strict=True) if s > (1 - LAST) * steps[-1]]


def dataset_name(dataset: str) -> str:
    """What a dataset is called in a table: of a path its last part.

    Args:
      dataset: as `--dataset` takes it.
    """
    source, colon, path = dataset.partition(":")
    return source + colon + os.path.basename(os.path.normpath(path)) if colon else dataset


def by_seed(done: Done) -> Groups:
    """dict of (method, num_labeled) -> dict of seed -> results."""
    groups: Groups = {}
    for cell, results in sorted(done.items(), key=lambda pair: pair[0].seed):
        groups.setdefault((cell.method, cell.num_labeled), {})[cell.seed] = results
    return groups


def seconds_per_step(runs: Iterable[Mapping[str, Any]]) -> float:
    """The median over runs, as their results.json have it; 0 where none says so."""
    seconds = [r["seconds_per_step"] for r in runs if r["seconds_per_step"]]
    return statistics.median(seconds) if seconds else 0.0


def labels(count: int, classes: int = 0) -> str:
    """A number of labels in words.

    Args:
      count: 0 is all of them.
      classes: how many there are, to say how many labels each has; 0 leaves that out.
    """
    if not count:
        return "all labels"
    each = f", {count // classes} a class" if classes and count % classes == 0 else ""
    return f"{count} labels{each}"


def measured_columns(num_labeled: Iterable[int], groups: Groups) -> list[int]:
    """The numbers of labels of which a cell is done, in the order asked for."""
    return [n for n in num_labeled if any(count == n for _, count in groups)]


def references(methods: Sequence[str], asked: Sequence[str] = ()) -> list[str]:
    """The methods that others are compared with.

    Args:
      methods: the rows.
      asked: their names in tables or definitions; none of them: the first Meta Pseudo Labels, if
        there is one.

    Raises:
      options.ConfigError: one that was asked for is not among the rows.
    """
    if not asked:
        first = next((m for m in methods if parts(m)[1].split(":")[0] == "mpl"), None)
        return [first] if first else []
    found = []
    for name in asked:
        rows = [m for m in methods if name in parts(m)]
        if not rows:
            names = ", ".join(parts(m)[0] for m in methods)
            raise ConfigError(f"--against must be of the methods {names}; received {name}.")
        found.append(rows[0])
    return found


def compute(method: str) -> str:
    """What a step of a method computes, by its class."""
    return METHODS[parts(method)[1].split(":")[0]].passes_per_step


def markdown(
    options: argparse.Namespace,
    methods: Sequence[str],
    done: Done,
    last_evaluations: Mapping[Cell, Sequence[float]],
    command: str,
) -> str:
    """The table as text.

    Args:
      options: namespace with `dataset`, `num_labeled`, `seeds` and `against`.
      methods: sequence of str, the rows.
      done: dict of cells.Cell -> results.
      last_evaluations: dict of cells.Cell -> list of the last validation accuracies, in percent.
      command: that makes this table again.

    Returns:
      str.
    """
    groups = by_seed(done)
    differences = different_software(done)
    columns, rows = measured_columns(options.num_labeled, groups), _rows(methods, groups)
    bases = references(methods if options.against else rows, options.against)
    lines = [
        f"{measured_part(done).capitalize()} accuracy (%) on {dataset_name(options.dataset)}: mean "
        f"± standard deviation over {options.seeds} seeds, or as many as it says, of the network "
        "that a run delivers after its last step; nothing is selected on test images. Bold: the "
        f"best, where a paired t-test tells it from the second (p < {paired.LEVEL}).",
        "",
        *([differences, ""] if differences else []),
        "| method | " + " | ".join(map(labels, columns)) + " |",
        "|---|" + "---|" * len(columns),
    ]
    scores = {
        key: {seed: delivered(results) for seed, results in group.items()}
        for key, group in groups.items()
    }
    best = {
        n: paired.best_beyond_noise({m: scores[m, n] for m in rows if (m, n) in scores})
        for n in columns
    }
    for method in rows:
        cells = [_mean(scores.get((method, n)), options.seeds, best[n] == method) for n in columns]
        lines.append(f"| {parts(method)[0]} | " + " | ".join(cells) + " |")
    for base in (m for m in bases if m in rows and len(rows) > 1):
        lines += _against(base, rows, columns, scores)
    lines += _costs(rows, columns, groups, done, last_evaluations)
    return "\n".join([*lines, "", f"`{command}`", ""])


def different_software(done: Done) -> str:
    """Which cells were run by which code, in a sentence; "" if all were run by the same."""
    revisions = [r.get("git_revision") or "none" for r in done.values()]
    values_by_name = {"git revision": [_SHA.sub(r"\1", revision) for revision in revisions]}
    for name in {name: None for r in done.values() for name in r.get("versions", {})}:
        versions = [r.get("versions", {}).get(name, "none") for r in done.values()]
        values_by_name[name] = versions
    texts = []
    for name, values in values_by_name.items():
        counts = collections.Counter(values)
        if len(counts) > 1:
            shares = (f"{value} ({count})" for value, count in counts.items())
            texts.append(f"{name} {', '.join(shares)}")
    if not texts:
        return ""
    return f"Cells were run by different software (of so many cells): {'; '.join(texts)}."


def _rows(methods, groups):
    return [m for m in methods if any(method == m for method, _ in groups)]


def _mean(by_seed, seeds, bold=False):
    """Mean and standard deviation; how many seeds they are of, where some are not there."""
    if not by_seed:
        return ""
    values = list(by_seed.values())
    text = f"{statistics.mean(values):.2f}"
    if len(values) > 1:
        text += f" ± {paired.spread(values):.2f}"
    if len(values) < seeds:
        text += f" ({len(values)} {'seed' if len(values) == 1 else 'seeds'})"
    return f"**{text}**" if bold else text


def _against(base, methods, columns, scores):
    """Differences to one method, seed by seed."""
    lines = [
        "",
        f"Difference to `{parts(base)[0]}` on the same seeds, its 95% interval, and p of the "
        "paired t-test (of many such tests some are below 0.05 by chance):",
        "",
        "| method | " + " | ".join(map(labels, columns)) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for method in (m for m in methods if m != base):
        differences = (
            paired.differences(scores.get((method, n), {}), scores.get((base, n), {}))
            for n in columns
        )
        cells = [paired.difference_text(values) for values in differences]
        lines.append(f"| {parts(method)[0]} | " + " | ".join(cells) + " |")
    return lines


def _costs(methods, columns, groups, done, last_evaluations):
    """Time and passes of each method, and the median of its last evaluations."""
    lines = [
        "",
        "Validation: median of the EMA student's evaluations in the last quarter of the steps, "
        "over all seeds. Time: medians of a whole run in one go, and of a training step. B labeled "
        "and U unlabeled images a step, forward and backward if not said otherwise.",
        "",
        "| method | "
        + " | ".join(f"validation, {labels(n)}" for n in columns)
        + " | seconds a run | a step | images through networks a step |",
        "|---|" + "---|" * (len(columns) + 3),
    ]
    for method in methods:
        cells = []
        for n in columns:
            values = [
                v
                for cell, last in last_evaluations.items()
                if (cell.method, cell.num_labeled) == (method, n)
                for v in last
            ]
            cells.append(f"{statistics.median(values):.2f}" if values else "")
        runs = [r for (m, _), group in groups.items() if m == method for r in group.values()]
        # Seconds are those since the last start: of a run that was interrupted they say little.
        whole = [r["seconds"] for r in runs if not r.get("resumed_at")]
        seconds = f"{statistics.median(whole):.0f}" if whole else ""
        step = seconds_per_step(runs)
        cells += [seconds, f"{step:.3f}" if step else "", compute(method)]
        lines.append(f"| {parts(method)[0]} | " + " | ".join(cells) + " |")
    return lines


def write_csv(path: str | os.PathLike, done: Done) -> None:
    """Every cell's accuracies, a row a cell.

    Raises:
      OSError: it cannot be written; what was there stays.
    """
    measured = ("seconds", "seconds_per_step", "weights_digest", "git_revision")
    rows: list[Sequence[object]] = [("method", "num_labeled", "seed", *ROLES, *measured)]
    for cell, results in done.items():
        accuracy = [accuracies(results)[name] for name in ROLES]
        values = [*accuracy, *(results.get(name) for name in measured)]
        cells = ["" if value is None else value for value in values]
        rows.append((parts(cell.method)[0], cell.num_labeled, cell.seed, *cells))
    files.write_text(os.fspath(path), "".join(f"{files.csv_line(row)}\n" for row in rows))
