"""What tools/feedback_norms.py writes: a file of norms, a table, and a picture of them."""

import csv
import itertools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpl_tf import files
from mpl_tf.options import ConfigError
from mpl_tf.runs import drawing

NORMS, TABLE, PICTURE = "norms.csv", "norms.md", "norms.png"
FORMS = ("exact", "dot", "sampled")
POINTS = 40  # rows of a run

# Column of norms.csv -> (its name in table and picture, colour, style of the line).
_PURPLE = drawing.OTHER_COLORS[0]
TERMS = {
    "supervised": ("labels", drawing.LABEL_COLOR, "-"),
    "uda": ("consistency (UDA)", drawing.PSEUDO_LABEL_COLOR, "-"),
    "feedback": ("feedback", _PURPLE, "-"),
    "unit_feedback": ("feedback, divided by the step", _PURPLE, "--"),
}
COLUMNS = ("run", "form", "step", *TERMS)
Row = dict[str, Any]  # column -> value


def rows(run: str, form: str, norms: np.ndarray) -> list[Row]:
    """The medians of a run's steps, in POINTS equal parts.

    Args:
      run: what was trained, as table and picture call it.
      form: of the feedback.
      norms: [steps, 4], in the order of TERMS.

    Returns:
      Rows of norms.csv; `step` is the last of those that a row sums up.
    """
    ends = np.unique(np.linspace(0, len(norms), POINTS + 1).astype(int))
    medians = [np.median(norms[a:b], axis=0) for a, b in itertools.pairwise(ends)]
    return [
        {"run": run, "form": form, "step": int(end), **dict(zip(TERMS, values, strict=True))}
        for end, values in zip(ends[1:], medians, strict=True)
    ]


def write_norms(file: pathlib.Path, measured: Sequence[Row]) -> None:
    """Writes norms.csv, as a whole."""
    with (
        files.whole(str(file)) as partial,
        open(partial, "w", newline="", encoding="utf-8") as opened,
    ):
        writer = csv.DictWriter(opened, COLUMNS)
        writer.writeheader()
        for row in measured:
            writer.writerow(row | {name: f"{row[name]:.6g}" for name in TERMS})


def read_norms(file: pathlib.Path) -> list[Row]:
    """The rows of a norms.csv.

    Raises:
      ConfigError: it is not there, or damaged.
    """
    try:
        reader = csv.DictReader(files.read_text(file).splitlines())
        measured = list(reader)
        if tuple(reader.fieldnames or ()) != COLUMNS or not measured:
            raise ValueError(f"it must have rows of the columns {', '.join(COLUMNS)}")
        numbers = dict.fromkeys(TERMS, float) | {"step": int}
        return [
            row | {name: number(row[name]) for name, number in numbers.items()} for row in measured
        ]
    except FileNotFoundError as error:
        raise ConfigError(f"{file} is not there: measure into its folder first.") from error
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise ConfigError(f"{file} is damaged: {files.reason(error)}. Measure it again.") from error


def read_several(folders: Sequence[str]) -> list[Row]:
    """The rows of the norms.csv of all folders, in their order.

    Raises:
      ConfigError: one is not there, or damaged, or two are of runs of one name.
    """
    measured: list[Row] = []
    for each in folders:
        rows_there = read_norms(pathlib.Path(each) / NORMS)
        if same := grouped(measured).keys() & grouped(rows_there).keys():
            raise ConfigError(f"two of the folders to draw hold a run called {min(same)}.")
        measured += rows_there
    return measured


def grouped(measured: Sequence[Row]) -> dict[str, dict[str, list[Row]]]:
    """dict of run -> dict of form -> its rows, in their order."""
    runs: dict[str, dict[str, list[Row]]] = {}
    for row in measured:
        runs.setdefault(row["run"], {}).setdefault(row["form"], []).append(row)
    return runs


def write_table(file: pathlib.Path, measured: Sequence[Row], command: str) -> None:
    """Writes norms.md: the norms after a quarter of the steps, and at the end."""
    names = [name for name, _, _ in TERMS.values()]
    lines = [
        "Norms of the gradients of the teacher's terms by its weights, after a quarter of the "
        f"steps and at the end; medians over 1/{POINTS} of the steps.",
        "",
        "| run | form | " + " | ".join(names) + " |",
        "|---|---|" + "---|" * len(names),
    ]
    for run, forms in grouped(measured).items():
        for form, of_form in forms.items():
            last = of_form[-1]
            quarter = next(row for row in of_form if 4 * row["step"] >= last["step"])
            cells = [f"{quarter[name]:.2g}, {last[name]:.2g}" for name in TERMS]
            lines.append(f"| {run} | {form} | " + " | ".join(cells) + " |")
    files.write_text(str(file), "\n".join([*lines, "", f"`{command}`", ""]))


def draw(path: str | os.PathLike, measured: Sequence[Row]) -> None:
    """A row of panels a run, a panel a form of feedback, a line a term."""
    drawing.save(os.fspath(path), lambda: _figure(grouped(measured)), dpi=110)


def _figure(runs: Mapping[str, Mapping[str, Sequence[Row]]]) -> Figure:
    forms = [form for form in FORMS if any(form in of_run for of_run in runs.values())]
    figure = Figure(figsize=(0.8 + 3 * len(forms), 0.5 + 2.7 * len(runs)), layout="constrained")
    parts = figure.subfigures(len(runs), squeeze=False)[:, 0]
    for part, (run, of_run) in zip(parts, runs.items(), strict=True):
        part.suptitle(run, x=0.01, ha="left", weight="bold")
        panels = part.subplots(1, len(forms), squeeze=False, sharey=True)[0]
        for axes, form in zip(panels, forms, strict=True):
            _lines(axes, of_run.get(form, ()))
            axes.set(title=f"feedback={form}", xlabel="step")
        panels[0].set_ylabel("norm of the gradient")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(TERMS), frameon=False, loc="outside lower center")
    return figure


def _lines(axes: Axes, of_form: Sequence[Row]) -> None:
    steps = [row["step"] for row in of_form]
    for name, (label, color, style) in TERMS.items():
        values = np.array([row[name] for row in of_form])
        above = np.where(values > 0, values, np.nan)  # no logarithm of 0
        axes.plot(steps, above, color=color, linestyle=style, label=label)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(drawing.PlainLogFormatter())
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.grid(alpha=0.3)
