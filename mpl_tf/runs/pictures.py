"""report.png: one run at a glance."""

import functools
import itertools
import math
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpl_tf.data.dataset import Images
from mpl_tf.engine.panel import Panel
from mpl_tf.engine.roles import ROLES
from mpl_tf.formulas import measures
from mpl_tf.runs import answers, drawing
from mpl_tf.runs.drawing import LABEL_COLOR, NETWORK_COLORS, OTHER_COLORS, PSEUDO_LABEL_COLOR
from mpl_tf.runs.folder import METRICS, SHARES
from mpl_tf.runs.metrics_log import read_curves, read_shares

Curves = Mapping[str, np.ndarray]

_TITLE = 38  # characters that are as wide as the narrowest panel
_LEAST_SPAN = 0.1  # of an axis of accuracies
_STYLES = ("-", "--", ":")  # of the losses of one network
_WIDTH, _PANEL_HEIGHT, _IMAGES_HEIGHT = 16.0, 4.2, 5.6  # inches


def draw(
    path: str,
    *,
    title: str,
    workdir: str,
    panels: Sequence[Panel],
    part: str,
    accuracy: Mapping[str, float | None],
    probs: np.ndarray | None,
    images: Images | None,
    labeled: Images,
    class_names: Sequence[str],
) -> None:
    """Draws a run: accuracy, losses, pseudo labels, the method's panels, and the mistakes.

    A panel without any value is left out.

    Args:
      path: the PNG to write.
      title: of the whole picture.
      workdir: the run folder, with metrics.csv and, if there were any, pseudo_labels.csv.
      panels: of the method.
      part: what `images` are: "test", or "validation" where there are no test images.
      accuracy: network -> value in [0, 1] or None, on `images`.
      probs: float [N, K], the delivered network's class probabilities on `images`, or None.
      images: whose mistakes are shown, or None.
      labeled: the labeled images.
      class_names: K of them.
    """

    def make() -> Figure:
        drawings = _drawings(workdir, panels, part, accuracy, labeled, class_names)
        return _report(title, drawings, part, probs, images, class_names)

    drawing.save(path, make)


def _report(
    title: str,
    drawings: Sequence[Callable[[Axes], None]],
    part: str,
    probs: np.ndarray | None,
    images: Images | None,
    class_names: Sequence[str],
) -> Figure:
    """Panels above, and what is shown of images below."""
    columns = _columns(len(drawings))
    rows = math.ceil(len(drawings) / columns)
    heights = []
    if drawings:
        heights.append(rows * _PANEL_HEIGHT)
    if images is not None:
        heights.append(_IMAGES_HEIGHT)
    figure = Figure(figsize=(_WIDTH, sum(heights) or 1), layout="constrained")
    figure.suptitle(drawing.short(title, 150), fontsize=13)
    bands = figure.subfigures(len(heights) or 1, 1, height_ratios=heights or [1], squeeze=False)
    if drawings:
        grid = bands[0, 0].subplots(rows, columns, squeeze=False).flatten()
        for axes, draw_panel in zip(grid[: len(drawings)], drawings, strict=True):
            draw_panel(axes)
        for axes in grid[len(drawings) :]:
            axes.set_axis_off()
    if images is not None and probs is not None:
        matrix, worst = bands[-1, 0].subfigures(1, 2, width_ratios=(1, 1.4), squeeze=False)[0]
        counts = measures.confusion_matrix(probs, images.labels)
        answers.confusion(matrix, counts, class_names, f"{part.capitalize()} images: ")
        answers.mistakes(worst, probs, images, class_names, part)
    return figure


def _columns(panels):
    """Panels in a row: up to 4, such that the fewest places stay empty."""
    if panels <= 4:
        return max(panels, 1)
    return min((4, 3), key=lambda columns: -panels % columns)


def _drawings(
    workdir: str,
    panels: Sequence[Panel],
    part: str,
    accuracy: Mapping[str, float | None],
    labeled: Images,
    class_names: Sequence[str],
) -> list[Callable[[Axes], None]]:
    """What draws each panel that has values, into given axes."""
    curves = read_curves(os.path.join(workdir, METRICS))
    shares = read_shares(os.path.join(workdir, SHARES))
    drawings: list[Callable[[Axes], None]] = []
    if _accuracies(curves):
        drawings.append(lambda axes: _accuracy(axes, curves, accuracy, part))
    if losses := [n for n in curves if n.endswith("loss") and not n.startswith("val_")]:
        drawings.append(lambda axes: _losses(axes, curves, losses))
    if curves.keys() & _RATES.keys():
        drawings.append(lambda axes: _rates(axes, curves))
    if shares is not None:
        counts = np.bincount(labeled.labels, minlength=len(class_names))
        of_labels = counts / counts.sum()
        drawings.append(lambda axes: _classes(axes, shares, of_labels, class_names))
    for panel in panels:
        if next(iter(panel.curves)) in curves:
            drawings.append(functools.partial(_panel, curves=curves, panel=panel))
    return drawings


def _accuracies(curves):
    """Network -> curve of its accuracy on validation images."""
    names = {role: f"val_{role}_accuracy" for role in ROLES}
    return {role: curves[name] for role, name in names.items() if name in curves}


def _accuracy(axes, curves, accuracy, part):
    of_networks = _accuracies(curves)
    for role, curve in of_networks.items():
        drawing.line(axes, curve, NETWORK_COLORS[role], role)
    title = "Accuracy on validation images"
    value = accuracy.get("finetuned")
    if value is not None:  # at the end: a line would look as if validation images had it
        last = max(steps[-1] for steps, _ in of_networks.values())
        label = f"finetuned, {part} images: {value:.3f}"
        title += "" if part == "validation" else f"; \u25c6 {part}"
        axes.plot(last, value, "D", color=NETWORK_COLORS["finetuned"], label=label, clip_on=False)
    low, high = axes.get_ylim()
    if high - low < _LEAST_SPAN:  # else a flat curve would look like a wild one
        middle = (low + high) / 2
        axes.set_ylim(middle - _LEAST_SPAN / 2, middle + _LEAST_SPAN / 2)
    _finish(axes, title)


def _losses(axes, curves, names):
    styles: dict[str, int] = {}
    others = iter(itertools.cycle(OTHER_COLORS))
    for name in sorted(names, key=lambda name: (len(name), name)):  # a network's main loss first
        role = next((role for role in ROLES if name.startswith(f"{role}_")), None)
        if role:
            color = NETWORK_COLORS[role]
        else:
            color = LABEL_COLOR if name == "supervised_loss" else next(others)
        style = _STYLES[styles.setdefault(color, 0) % len(_STYLES)]
        styles[color] += 1
        drawing.line(axes, curves[name], color, name, style)
    axes.set(yscale="log")
    for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        which(drawing.PlainLogFormatter())
    _finish(axes, "Training losses")


_RATES = {
    "mask_rate": ("confident (mask rate)", "--"),
    "pseudo_label_accuracy": ("labeled right (hidden labels)", "-"),
}


def _rates(axes, curves):
    for name, (label, style) in _RATES.items():
        if name in curves:
            drawing.line(axes, curves[name], PSEUDO_LABEL_COLOR, label, style)
    axes.set(ylim=(-0.03, 1.03))
    _finish(axes, "Share of unlabeled images")


def _panel(axes, curves, panel):
    first, *others = panel.curves
    steps, values = curves[first]
    color, *other_colors = OTHER_COLORS
    drawing.line(axes, curves[first], color, panel.curves[first])
    if panel.band in curves:
        deviation = curves[panel.band][1]
        band = {"color": color, "alpha": 0.2, "label": "± std"}
        if len(steps) > 1:
            axes.fill_between(steps, values - deviation, values + deviation, linewidth=0, **band)
        else:
            axes.vlines(steps, values - deviation, values + deviation, linewidth=6, **band)
    for name, color in zip(others, other_colors, strict=False):
        if name in curves and np.any(curves[name][1]):
            drawing.line(axes, curves[name], color, panel.curves[name])
    if panel.low is None:
        axes.axhline(0, color="black", linewidth=0.8)
    else:
        axes.set_ylim(bottom=panel.low)
    _finish(axes, textwrap.fill(panel.title, _TITLE))


def _finish(axes, title):
    axes.set(title=title, xlabel="step", xlim=(0, 1.03 * axes.dataLim.x1))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))  # wide numbers have room
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    axes.grid(alpha=0.3)
    _, labels = axes.get_legend_handles_labels()
    columns = 2 if max(map(len, labels)) <= 22 else 1
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}  # where it hides nothing
    axes.legend(fontsize="small", frameon=False, ncols=columns, **place)


def _classes(axes, shares, of_labels, class_names):
    at = np.arange(len(class_names))
    axes.bar(at - 0.2, of_labels, 0.4, label="labels", color=LABEL_COLOR)
    axes.bar(at + 0.2, shares, 0.4, label="pseudo labels (last row)", color=PSEUDO_LABEL_COLOR)
    if len(class_names) <= 20:
        drawing.name_ticks(axes.xaxis, class_names)
    axes.set(title="Share of each class", ylim=(0, 1.3 * max(*shares, *of_labels)))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small")  # class names below may be long
