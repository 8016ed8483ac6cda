"""report.png and evaluation.png: one run at a glance."""

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpl_tf.data.dataset import Images
from mpl_tf.engine.method import Panel
from mpl_tf.engine.roles import ROLES
from mpl_tf.files import whole
from mpl_tf.formulas import measures
from mpl_tf.runs.folder import METRICS, SHARES
from mpl_tf.runs.metrics_log import read_curves, read_shares

Curves = Mapping[str, np.ndarray]

_COLORS = dict(zip(ROLES, ("tab:orange", "tab:blue", "tab:green", "tab:red"), strict=True))
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
    drawings = _drawings(workdir, panels, part, accuracy, labeled, class_names)
    columns = _columns(len(drawings))
    rows = math.ceil(len(drawings) / columns)
    heights = []
    if drawings:
        heights.append(rows * _PANEL_HEIGHT)
    if images is not None:
        heights.append(_IMAGES_HEIGHT)
    figure = Figure(figsize=(_WIDTH, sum(heights) or 1), layout="constrained")
    figure.suptitle(title, fontsize=13)
    bands = figure.subfigures(len(heights) or 1, 1, height_ratios=heights or [1], squeeze=False)
    if drawings:
        grid = bands[0, 0].subplots(rows, columns, squeeze=False).flatten()
        for axes, drawing in zip(grid[: len(drawings)], drawings, strict=True):
            drawing(axes)
        for axes in grid[len(drawings) :]:
            axes.set_axis_off()
    if images is not None and probs is not None:
        matrix, mistakes = bands[-1, 0].subfigures(1, 2, width_ratios=(1, 1.4), squeeze=False)[0]
        counts = measures.confusion_matrix(probs, images.labels)
        _confusion(matrix, counts, class_names, f"{part.capitalize()} images: ")
        _mistakes(mistakes, probs, images, class_names, part)
    with whole(path) as partial:
        figure.savefig(partial, dpi=100)


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
    if _accuracies(curves) or accuracy.get("finetuned") is not None:
        drawings.append(lambda axes: _accuracy(axes, curves, accuracy, part))
    if losses := [n for n in sorted(curves) if n.endswith("loss") and not n.startswith("val_")]:
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


def draw_evaluation(
    path: str, *, title: str, probs: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> None:
    """Draws a confusion matrix, and how sure the network is where it is right.

    Args:
      path: the PNG to write.
      title: of the whole picture.
      probs: float [N, K], class probabilities.
      labels: integer [N].
      class_names: K of them.
    """
    figure = Figure(figsize=(15, 7.5), layout="constrained")
    figure.suptitle(title, fontsize=13)
    left, right = figure.subfigures(1, 2, width_ratios=(1.25, 1), squeeze=False)[0]
    _confusion(left, measures.confusion_matrix(probs, labels), class_names)
    _reliability(right.subplots(), probs, labels)
    with whole(path) as partial:
        figure.savefig(partial, dpi=100)


def _reliability(axes, probs, labels):
    counts, confidence, hits = measures.reliability(probs, labels)
    edges = np.linspace(0, 1, len(counts) + 1)
    width = edges[1] - edges[0]
    axes.bar(edges[:-1], counts / len(labels), width, align="edge", color="lightgray")
    axes.plot([0, 1], [0, 1], "--", color="gray")
    filled = counts > 0
    axes.plot(confidence[filled], hits[filled], "o-", color="tab:red")
    axes.legend(
        axes.patches[:1] + axes.lines,
        ["share of the images", "as sure as right", "accuracy by confidence"],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.1),
        ncols=3,
    )
    error = measures.calibration_error(probs, labels)
    axes.set(
        title=f"Expected calibration error {error:.3f}",
        xlabel="confidence: the greatest class probability",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    axes.grid(alpha=0.3)


def _accuracies(curves):
    """Network -> curve of its accuracy on validation images."""
    names = {role: f"val_{role}_accuracy" for role in ROLES}
    return {role: curves[name] for role, name in names.items() if name in curves}


def _accuracy(axes, curves, accuracy, part):
    for role, curve in _accuracies(curves).items():
        axes.plot(*curve, ".-", color=_COLORS[role], label=role)
    value = accuracy.get("finetuned")
    if value is not None:
        label = f"finetuned, {part}: {value:.3f}"
        axes.axhline(value, color=_COLORS["finetuned"], linestyle="--", label=label)
    _finish(axes, "Accuracy on validation images")


def _losses(axes, curves, names):
    for name in names:
        axes.plot(*curves[name], label=name)
    axes.set(yscale="log")
    _finish(axes, "Training losses")


_RATES = {
    "mask_rate": "confident (mask rate)",
    "pseudo_label_accuracy": "labeled right (hidden labels)",
}


def _rates(axes, curves):
    for name, label in _RATES.items():
        if name in curves:
            axes.plot(*curves[name], label=label)
    axes.set(ylim=(-0.03, 1.03))
    _finish(axes, "Share of unlabeled images")


def _panel(axes, curves, panel):
    first, *others = panel.curves
    steps, values = curves[first]
    (line,) = axes.plot(steps, values, label=panel.curves[first], color="tab:purple")
    if panel.band in curves:
        deviation = curves[panel.band][1]
        band = {"color": line.get_color(), "alpha": 0.2, "linewidth": 0}
        axes.fill_between(steps, values - deviation, values + deviation, label="± std", **band)
    for name, color in zip(others, ("gray", "tab:brown", "tab:olive"), strict=False):
        if name in curves and np.any(curves[name][1]):
            axes.plot(*curves[name], label=panel.curves[name], color=color)
    if panel.low is None:
        axes.axhline(0, color="black", linewidth=0.8)
    else:
        axes.set_ylim(bottom=panel.low)
    _finish(axes, panel.title)


def _finish(axes, title):
    axes.set(title=title, xlabel="step")
    axes.grid(alpha=0.3)
    _, labels = axes.get_legend_handles_labels()
    columns = 2 if max(map(len, labels)) <= 22 else 1
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}  # where it hides nothing
    axes.legend(fontsize="small", frameon=False, ncols=columns, **place)


def _classes(axes, shares, of_labels, class_names):
    at = np.arange(len(class_names))
    axes.bar(at - 0.2, of_labels, 0.4, label="labels", color="gray")
    axes.bar(at + 0.2, shares, 0.4, label="pseudo labels (last row)", color="tab:blue")
    if len(class_names) <= 20:
        axes.set_xticks(at, class_names, rotation=_tilt(class_names))
    axes.set(title="Share of each class", ylim=(0, 1.3 * max(*shares, *of_labels)))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small")  # class names below may be long


def _tilt(class_names):
    return 90 if max(map(len, class_names)) > 3 else 0


def _confusion(figure, matrix, class_names, subject=""):
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(class_names))
    axes.set(title=f"{subject}true class (row), predicted (column)")
    if len(class_names) <= 100:
        size = 10 if len(class_names) <= 20 else 4
        axes.set_xticks(ticks, class_names, rotation=_tilt(class_names), fontsize=size)
        axes.set_yticks(ticks, class_names, fontsize=size)
    if len(class_names) <= 20:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                color = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, count, ha="center", va="center", color=color, fontsize=8)


def _mistakes(figure, probs, images, class_names, part, rows=2, columns=5):
    worst = measures.most_wrong(probs, images.labels, rows * columns)
    title = f"{part.capitalize()} images it is most wrong about"
    figure.suptitle(title if len(worst) else f"No mistake on {part}")
    grid = list(figure.subplots(rows, columns).flat)
    for axes in grid:
        axes.axis("off")
    pictures = images.take(worst)
    for axes, index, image, label in zip(
        grid, worst, pictures.images, pictures.labels, strict=False
    ):
        guess = np.argmax(probs[index])
        axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
        axes.set_title(
            f"{_short(class_names[label])},\ntaken for {_short(class_names[guess])}\n"
            f"({probs[index, guess]:.0%} sure)",
            fontsize=9,
        )


def _short(name, limit=16):
    return name if len(name) <= limit else f"{name[: limit - 1]}…"
