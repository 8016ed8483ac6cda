"""report.png: one run at a glance."""

import csv
import os

import matplotlib
import numpy as np

from mpl_tf.files import whole
from mpl_tf.formulas import measures

matplotlib.use("Agg")  # files only: no display is needed
from matplotlib import pyplot as plt

_COLORS = {
    "teacher": "tab:orange",
    "student": "tab:blue",
    "ema": "tab:green",
    "finetuned": "tab:red",
}


def read_curves(path):
    """The training rows of metrics.csv: dict of column -> float [2, n], steps and values."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["phase"] == "train"]
    curves = {}
    for name in rows[0].keys() - {"phase", "step"} if rows else ():
        points = [(float(row["step"]), float(row[name])) for row in rows if row[name]]
        if points:
            curves[name] = np.array(points).T
    return curves


def read_shares(path):
    """The last row of pseudo_labels.csv as float [K], or None if there is no such file or row."""
    if not os.path.exists(path):
        return None
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return np.array(rows[-1][2:], float) if rows else None


def draw(path, *, title, workdir, part, accuracy, probs, images, labeled, class_names):
    """Draws a run: accuracy, losses, feedback, pseudo labels, confusion matrix, worst mistakes.

    Args:
      path: str, the PNG to write.
      title: str.
      workdir: str, the run folder, with metrics.csv and, if there were any, pseudo_labels.csv.
      part: str, what `images` are: "test", or "validation" where there are no test images.
      accuracy: dict of network -> float in [0, 1] or None, on `images`.
      probs: float [N, K], the delivered network's class probabilities on `images`, or None.
      images: data.dataset.Images, or None.
      labeled: data.dataset.Images, the labeled images.
      class_names: sequence of K str.
    """
    curves = read_curves(os.path.join(workdir, "metrics.csv"))
    shares = read_shares(os.path.join(workdir, "pseudo_labels.csv"))
    rows = 1 + (shares is not None) + (images is not None)
    figure = plt.figure(figsize=(15, 4.2 * rows), layout="constrained")
    figure.suptitle(title, fontsize=13)
    bands = figure.subfigures(rows, 1, height_ratios=[1] * (rows - 1) + [1.15], squeeze=False)
    bands = bands[:, 0]
    left, middle, right = bands[0].subplots(1, 3)
    _accuracy(left, curves, accuracy, part)
    _losses(middle, curves)
    _feedback(right, curves)
    if shares is not None:
        left, middle, right = bands[1].subplots(1, 3)
        _rates(left, curves)
        _signal_to_noise(middle, curves)
        own = np.bincount(labeled.labels, minlength=len(class_names)) / len(labeled)
        _classes(right, shares, own, class_names)
    if images is not None:
        matrix, mistakes = bands[-1].subfigures(1, 2, width_ratios=(1, 1.4))
        counts = measures.confusion_matrix(probs, images.labels)
        _confusion(matrix, counts, class_names, f"{part.capitalize()} images: ")
        _mistakes(mistakes, probs, images, class_names, part)
    with whole(path) as partial:
        figure.savefig(partial, dpi=100)
    plt.close(figure)


def draw_evaluation(path, *, title, probs, labels, class_names):
    """Draws a confusion matrix, and how sure the network is where it is right.

    Args:
      path: str, the PNG to write.
      title: str.
      probs: float [N, K], class probabilities.
      labels: integer [N].
      class_names: sequence of K str.
    """
    figure = plt.figure(figsize=(15, 7.5), layout="constrained")
    figure.suptitle(title, fontsize=13)
    left, right = figure.subfigures(1, 2, width_ratios=(1.25, 1))
    _confusion(left, measures.confusion_matrix(probs, labels), class_names)
    _reliability(right.subplots(), probs, labels)
    with whole(path) as partial:
        figure.savefig(partial, dpi=100)
    plt.close(figure)


def _reliability(axes, probs, labels):
    counts, confidence, hits = measures.reliability(probs, labels)
    edges = np.linspace(0, 1, len(counts) + 1)
    width = edges[1] - edges[0]
    axes.bar(edges[:-1], counts / len(labels), width, align="edge", color="lightgray")
    axes.plot([0, 1], [0, 1], "--", color="gray")
    there = counts > 0
    axes.plot(confidence[there], hits[there], "o-", color="tab:red")
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


def _accuracy(axes, curves, accuracy, part):
    for name, color in _COLORS.items():
        if f"val_{name}_accuracy" in curves:
            axes.plot(*curves[f"val_{name}_accuracy"], ".-", color=color, label=name)
    if accuracy.get("finetuned") is not None:
        value = accuracy["finetuned"]
        label = f"finetuned, {part}: {value:.3f}"
        axes.axhline(value, color=_COLORS["finetuned"], linestyle="--", label=label)
    if not axes.lines:
        return _nothing(axes, "no validation images")
    axes.set(title="Accuracy on validation images", xlabel="step")
    axes.grid(alpha=0.3)
    return axes.legend()


def _losses(axes, curves):
    for name in sorted(curves):
        if name.endswith("loss") and not name.startswith("val_"):
            axes.plot(*curves[name], label=name)
    axes.set(title="Training losses", xlabel="step", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _feedback(axes, curves):
    if "feedback" not in curves:
        return _nothing(axes, "no feedback in this run")
    steps, mean = curves["feedback"]
    deviation = curves["feedback_std"][1]
    axes.plot(steps, mean, label="mean", color="tab:purple")
    band = {"color": "tab:purple", "alpha": 0.2, "linewidth": 0}
    axes.fill_between(steps, mean - deviation, mean + deviation, label="± std", **band)
    if np.any(curves["baseline"][1]):
        axes.plot(*curves["baseline"], label="baseline", color="gray")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(title="Feedback (above 0: the lesson helped)", xlabel="step")
    axes.grid(alpha=0.3)
    return axes.legend()


def _rates(axes, curves):
    titles = {
        "mask_rate": "confident enough (mask rate)",
        "positive_credit": "of positive credit",
        "pseudo_label_accuracy": "labeled right (hidden labels, log only)",
    }
    for name, label in titles.items():
        if name in curves:
            axes.plot(*curves[name], label=label)
    axes.set(title="Share of unlabeled images", xlabel="step", ylim=(-0.03, 1.03))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _signal_to_noise(axes, curves):
    if "feedback_snr" not in curves:
        return _nothing(axes, "no feedback in this run")
    axes.plot(*curves["feedback_snr"], color="tab:brown")
    axes.set(title="Feedback: |mean| / std over the steps of a log row", xlabel="step", ylim=0)
    return axes.grid(alpha=0.3)


def _classes(axes, shares, labeled_shares, class_names):
    at = np.arange(len(class_names))
    axes.bar(at - 0.2, labeled_shares, 0.4, label="labels", color="gray")
    axes.bar(at + 0.2, shares, 0.4, label="pseudo labels, last log row", color="tab:blue")
    if len(class_names) <= 20:
        axes.set_xticks(at, class_names, rotation=_tilt(class_names))
    axes.set(title="Share of each class", ylim=(0, 1.3 * max(*shares, *labeled_shares)))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small")


def _nothing(axes, text):
    axes.axis("off")
    axes.text(0.5, 0.5, text, ha="center", color="gray")


def _tilt(class_names):
    return 90 if max(map(len, class_names)) > 3 else 0


def _confusion(figure, matrix, class_names, said=""):
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(class_names))
    axes.set(title=f"{said}true class (row), predicted (column)")
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
    shown = images.take(worst)
    for axes, index, image, label in zip(grid, worst, shown.images, shown.labels, strict=False):
        guess = np.argmax(probs[index])
        axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
        axes.set_title(
            f"{class_names[label]}, taken for {class_names[guess]}\n"
            f"({probs[index, guess]:.0%} sure)",
            fontsize=9,
        )
