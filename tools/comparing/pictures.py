"""Pictures of a comparison."""

import argparse
import os
import statistics
import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from comparing import cells, paired, tables
from mpl_tf.runs import drawing, metrics_log

Curve = tuple[list[int], list[float]]  # steps, values in percent
_COLORS = 10  # of matplotlib's cycle


def read_curve(path: str | os.PathLike, column: str = "val_ema_accuracy") -> Curve:
    """(steps, values in percent) of a column of the training rows of a metrics.csv."""
    steps, values = metrics_log.read_curves(str(path)).get(column, ([], []))
    return [int(step) for step in steps], [100 * float(value) for value in values]


def limits(values: Sequence[float]) -> tuple[float, float]:
    """(low, high) of an axis on which all values (percent) have room; intervals may be cut off."""
    margin = max(0.05 * (max(values) - min(values)), 0.5)
    return max(min(values) - margin, 0), min(max(values) + margin, 100)


def draw(
    path: str | os.PathLike,
    options: argparse.Namespace,
    methods: Sequence[str],
    done: tables.Done,
    classes: int = 0,
) -> None:
    """A dot a run, the mean of each method, and its 95% interval.

    Args:
      path: where to draw to.
      options: namespace with `dataset` and `num_labeled`.
      methods: sequence of str.
      done: of every finished cell.
      classes: how many there are; 0 if that is not known.
    """
    drawing.save(os.fspath(path), lambda: _dots(options, methods, done, classes), dpi=110)


def _dots(
    options: argparse.Namespace, methods: Sequence[str], done: tables.Done, classes: int
) -> Figure:
    groups = tables.by_seed(done)
    columns = tables.measured_columns(options.num_labeled, groups)
    rows = ranked(methods, groups)
    labels = [textwrap.fill(cells.parts(m)[0].replace(":", ", "), 30) for m in rows]
    heights = [0.32 + 0.14 * label.count("\n") for label in labels]
    middles = [sum(heights[:k]) + height / 2 for k, height in enumerate(heights)]
    figure = Figure(
        figsize=(2.5 + 4 * len(columns), 1.3 + sum(heights)),
        layout="constrained",
    )
    panels = figure.subplots(1, len(columns), squeeze=False, sharey=True)
    for axes, n in zip(panels[0], columns, strict=True):
        all_values = []
        for middle, method in zip(middles, rows, strict=True):
            values = [tables.delivered(r) for r in groups.get((method, n), {}).values()]
            if not values:
                continue
            all_values += values
            axes.plot(values, [middle + 0.1] * len(values), "o", color="gray", alpha=0.4, ms=3)
            half = paired.interval(values)
            mean, style = statistics.mean(values), {"fmt": "o", "capsize": 3, "ms": 5}
            color = _color(method, methods)
            axes.errorbar(mean, middle, xerr=half, color=color, **style)
            if cells.parts(method)[1] == "supervised":
                axes.axvline(mean, color="black", linestyle=":", linewidth=1)
        axes.set_yticks(middles, labels, fontsize=8)
        axes.set_ylim(sum(heights), 0)
        axes.set_xlim(*limits(all_values))
        axes.set(
            title=f"{tables.dataset_name(options.dataset)}, {tables.labels(n, classes)}",
            xlabel=f"{tables.measured_part(done)} accuracy (%)",
        )
        axes.grid(axis="x", alpha=0.3)
    text = "grey: one seed; coloured: mean with 95% interval, as far as it fits"
    called = [name for name, definition in map(cells.parts, rows) if definition == "supervised"]
    dotted = f"; dotted: the mean of {called[0]}" if called else ""
    figure.supxlabel(text + dotted, fontsize=8)
    return figure


def _color(method: str, methods: Sequence[str]) -> str:
    """As in the curves; of more methods than there are colors, Meta Pseudo Labels has one alone."""
    if len(methods) <= _COLORS:
        return f"C{list(methods).index(method)}"
    return "C3" if cells.parts(method)[1].split(":")[0] == "mpl" else "C0"


def ranked(methods: Sequence[str], groups: tables.Groups) -> list[str]:
    """The methods of which a run is done, the best first.

    Args:
      methods: in the order asked for, which decides between equals.
      groups: dict of (method, number of labels) -> dict of seed -> results, as of `tables.by_seed`.

    Returns:
      By the mean over all numbers of labels of a method's mean accuracy; methods that lack a number
      of labels which others have come last.
    """
    scores = {
        key: statistics.mean(tables.delivered(results) for results in group.values())
        for key, group in groups.items()
    }
    columns = {n for _, n in scores}

    def place(method):
        there = [scores[method, n] for n in columns if (method, n) in scores]
        return len(columns) - len(there), -statistics.mean(there)

    return sorted((m for m in methods if any(m == name for name, _ in scores)), key=place)


def draw_curves(
    path: str | os.PathLike,
    options: argparse.Namespace,
    methods: Sequence[str],
    curves: Mapping[cells.Cell, Curve],
    done: tables.Done,
    classes: int = 0,
) -> None:
    """Validation accuracy of the EMA student: a thin line a run, a thick one their mean.

    By step, and below by the time that so many steps take: the median step of a method's runs.

    Args:
      path: where to draw to.
      options: namespace with `dataset` and `num_labeled`.
      methods: sequence of str.
      curves: dict of cells.Cell -> (steps, values), as of `read_curve`.
      done: of the same cells.
      classes: how many there are; 0 if that is not known.
    """
    drawing.save(os.fspath(path), lambda: _curves(options, methods, curves, done, classes), dpi=110)


def _curves(
    options: argparse.Namespace,
    methods: Sequence[str],
    curves: Mapping[cells.Cell, Curve],
    done: tables.Done,
    classes: int,
) -> Figure:
    columns = [n for n in options.num_labeled if any(c.num_labeled == n for c in curves)]
    groups = tables.by_seed(done)
    minutes = {
        (m, n): tables.seconds_per_step(groups.get((m, n), {}).values()) / 60
        for m in methods
        for n in columns
    }
    rows = 2 if any(minutes.values()) else 1
    figure = Figure(figsize=(2.5 + 5 * len(columns), 0.5 + 4 * rows), layout="constrained")
    panels = figure.subplots(rows, len(columns), squeeze=False)
    for axes, n in zip(panels[0], columns, strict=True):
        _panel(axes, methods, curves, n, dict.fromkeys(methods, 1.0))
        title = f"{tables.dataset_name(options.dataset)}, {tables.labels(n, classes)}"
        axes.set(title=title, xlabel="step")
    if rows == 2:
        for axes, n in zip(panels[1], columns, strict=True):
            _panel(axes, methods, curves, n, {m: minutes[m, n] for m in methods})
            axes.set(xlabel="minutes in training steps")
    handles, labels = panels[0][0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, fontsize="x-small", loc="outside right center")
    return figure


def _panel(axes, methods, curves, num_labeled, unit):
    """The curves of a number of labels, over steps times `unit` of their method."""
    for k, method in enumerate(methods):
        cell = method, num_labeled
        of_method = [v for c, v in curves.items() if (c.method, c.num_labeled) == cell]
        if not unit[method]:
            continue
        style = {"color": f"C{k % _COLORS}", "linestyle": "-" if k < _COLORS else "--"}
        for steps, values in of_method:
            at = [step * unit[method] for step in steps]
            marker = "." if len(steps) == 1 else ""
            axes.plot(at, values, marker=marker, alpha=0.25, linewidth=0.8, **style)
        length = min((len(steps) for steps, _ in of_method), default=0)
        if length:
            mean = [statistics.mean(v[i] for _, v in of_method) for i in range(length)]
            at = [step * unit[method] for step in of_method[0][0][:length]]
            axes.plot(at, mean, label=cells.parts(method)[0].replace(":", "\n"), **style)
    axes.set_ylabel("validation accuracy of the EMA student (%)")
    axes.grid(alpha=0.3)
