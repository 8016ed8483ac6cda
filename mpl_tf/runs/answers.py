"""Pictures of what a network answers: confusion matrix, mistakes, calibration."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure, SubFigure

from mpl_tf.data.dataset import Images
from mpl_tf.formulas import measures
from mpl_tf.runs import drawing
from mpl_tf.runs.drawing import OTHER_COLORS


def draw(
    path: str,
    *,
    title: str,
    probs: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    before: np.ndarray | None = None,
) -> None:
    """Draws a confusion matrix, and how sure the network is where it is right.

    Args:
      path: the PNG to write.
      title: of the whole picture.
      probs: float [N, K], class probabilities.
      labels: integer [N].
      class_names: K of them.
      before: float [N, K], likewise, before they were calibrated; None if they were not.
    """

    def make() -> Figure:
        figure = Figure(figsize=(15, 7.5), layout="constrained")
        figure.suptitle(drawing.short(title, 150), fontsize=13)
        left, right = figure.subfigures(1, 2, width_ratios=(1.25, 1), squeeze=False)[0]
        confusion(left, measures.confusion_matrix(probs, labels), class_names)
        _reliability(right.subplots(), probs, before, labels)
        return figure

    drawing.save(path, make)


def _reliability(axes, probs, before, labels):
    counts, confidence, hits = measures.reliability(probs, labels)
    edges = np.linspace(0, 1, len(counts) + 1)
    width = edges[1] - edges[0]
    axes.bar(edges[:-1], counts / len(labels), width, align="edge", color="lightgray")
    axes.plot([0, 1], [0, 1], "--", color="gray")
    names = ["share of the images", "as sure as right"]
    title = f"Expected calibration error {measures.calibration_error(probs, labels):.3f}"
    if before is not None:
        counts_before, confidence_before, hits_before = measures.reliability(before, labels)
        filled = counts_before > 0
        axes.plot(confidence_before[filled], hits_before[filled], "o:", color=OTHER_COLORS[1])
        names.append("accuracy by confidence, before calibration")
        title += f", before calibration {measures.calibration_error(before, labels):.3f}"
    filled = counts > 0
    axes.plot(confidence[filled], hits[filled], "o-", color=OTHER_COLORS[0])
    axes.legend(
        axes.patches[:1] + axes.lines,
        [*names, "accuracy by confidence"],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.1),
        ncols=2,
    )
    axes.set(
        title=title,
        xlabel="confidence: the greatest class probability",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    axes.grid(alpha=0.3)


def confusion(
    figure: Figure | SubFigure, matrix: np.ndarray, class_names: Sequence[str], subject: str = ""
) -> None:
    """Draws a confusion matrix, int [K, K], into a figure; `subject` begins its title."""
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(title=f"{subject}true class (row), predicted (column)")
    if len(class_names) <= 100:
        size = 10 if len(class_names) <= 20 else 4
        drawing.name_ticks(axes.xaxis, class_names, fontsize=size)
        drawing.name_ticks(axes.yaxis, class_names, fontsize=size)
    if len(class_names) <= 20:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                color = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, count, ha="center", va="center", color=color, fontsize=8)


def mistakes(
    figure: Figure | SubFigure,
    probs: np.ndarray,
    images: Images,
    class_names: Sequence[str],
    part: str,
    rows: int = 2,
    columns: int = 5,
) -> None:
    """Shows the images that a network is most wrong about.

    Args:
      figure: where to.
      probs: float [N, K], class probabilities.
      images: N of them.
      class_names: K of them.
      part: what the images are: "test", or "validation".
      rows, columns: how many there are room for.
    """
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
        guess = int(np.argmax(probs[index]))
        axes.imshow(drawing.pixels(image), cmap="gray", vmin=0, vmax=255)
        axes.set_title(
            f"{drawing.short(class_names[label])}\n"
            f"taken for {drawing.short(class_names[guess])}\n"
            f"({probs[index, guess]:.0%} sure)",
            fontsize=9,
        )
