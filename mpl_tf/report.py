"""report.png: one run at a glance."""

import csv

import matplotlib
import numpy as np

from mpl_tf import evaluation
from mpl_tf.workdir import whole

matplotlib.use("Agg")  # files only: no display is needed
from matplotlib import pyplot as plt

_COLORS = {
    "teacher": "tab:orange",
    "student": "tab:blue",
    "ema": "tab:green",
    "finetuned": "tab:red",
}


def read_metrics(path):
    """metrics.csv as a dict of phase -> column -> (steps, values), float arrays without gaps."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    curves = {"train": {}, "finetune": {}}
    for phase, columns in curves.items():
        mine = [r for r in rows if r["phase"] == phase]
        for name in rows[0].keys() - {"phase", "step"} if rows else ():
            points = [(float(r["step"]), float(r[name])) for r in mine if r[name]]
            if points:
                columns[name] = np.array(points).T
    return curves


def draw(path, *, title, metrics_file, test_accuracy, probs, labels, images, class_names):
    """Draws a run: accuracy, losses, feedback, confusion matrix, worst mistakes.

    Args:
      path: str, the PNG to write.
      title: str.
      metrics_file: str, the run's metrics.csv.
      test_accuracy: dict of network -> float in [0, 1] or None.
      probs: float [N, K], the delivered network's class probabilities on the test images.
      labels: integer [N], true classes of the test images.
      images: uint8 [N, H, W, C], the test images.
      class_names: sequence of K str.
    """
    curves = read_metrics(metrics_file)["train"]
    figure = plt.figure(figsize=(15, 8.5), layout="constrained")
    figure.suptitle(title, fontsize=13)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.15))
    left, middle, right = top.subplots(1, 3)
    _accuracy(left, curves, test_accuracy)
    _losses(middle, curves)
    _feedback(right, curves)
    matrix, mistakes = bottom.subfigures(1, 2, width_ratios=(1, 1.4))
    _confusion(matrix, evaluation.confusion_matrix(probs, labels), class_names)
    _mistakes(mistakes, probs, labels, images, class_names)
    with whole(path) as partial:
        figure.savefig(partial, dpi=100)
    plt.close(figure)


def _accuracy(axes, curves, test_accuracy):
    for name, color in _COLORS.items():
        if f"val_{name}_accuracy" in curves:
            axes.plot(*curves[f"val_{name}_accuracy"], ".-", color=color, label=name)
    if test_accuracy.get("finetuned") is not None:
        value = test_accuracy["finetuned"]
        label = f"finetuned, test: {value:.3f}"
        axes.axhline(value, color=_COLORS["finetuned"], linestyle="--", label=label)
    axes.set(title="Accuracy on validation images", xlabel="step")
    axes.grid(alpha=0.3)
    axes.legend()


def _losses(axes, curves):
    for name in sorted(curves):
        if name.endswith("loss") and not name.startswith("val_"):
            axes.plot(*curves[name], label=name)
    axes.set(title="Training losses", xlabel="step", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _feedback(axes, curves):
    if "feedback" not in curves:
        axes.axis("off")
        axes.text(0.5, 0.5, "no feedback in this run", ha="center", color="gray")
        return
    axes.plot(*curves["feedback"], label="feedback", color="tab:purple")
    if np.any(curves["baseline"][1]):
        axes.plot(*curves["baseline"], label="its baseline", color="gray")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(title="Feedback (above 0: the lesson helped)", xlabel="step")
    axes.grid(alpha=0.3)
    axes.legend()


def _confusion(figure, matrix, class_names):
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(class_names))
    axes.set(title="Test images: true class (row), predicted (column)")
    axes.set_xticks(ticks, class_names, rotation=90 if len(max(class_names, key=len)) > 3 else 0)
    axes.set_yticks(ticks, class_names)
    if len(class_names) <= 20:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                color = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, count, ha="center", va="center", color=color, fontsize=8)


def _mistakes(figure, probs, labels, images, class_names, rows=2, columns=5):
    worst = evaluation.most_wrong(probs, labels, rows * columns)
    figure.suptitle("Test images it is most wrong about" if len(worst) else "No mistake on test")
    grid = list(figure.subplots(rows, columns).flat)
    for axes in grid:
        axes.axis("off")
    for axes, index in zip(grid, worst, strict=False):
        image, guess = images[index], np.argmax(probs[index])
        axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
        axes.set_title(
            f"{class_names[labels[index]]}, taken for {class_names[guess]}\n"
            f"({probs[index, guess]:.0%} sure)",
            fontsize=9,
        )
