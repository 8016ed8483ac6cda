"""What tools/two_moons.py writes: tables, and a picture of what each method decides."""

import argparse
import csv
import pathlib
from collections.abc import Mapping

import matplotlib
import numpy as np
from scipy import stats

from mpl_tf import files
from mpl_tf.engine.method import Method

matplotlib.use("Agg")
from matplotlib import pyplot as plt

SUCCESS = 0.97  # the share of the points that a seed must get right
Moons = tuple[np.ndarray, np.ndarray, np.ndarray]  # points, labels, indices of labeled points


def success(accuracy: np.ndarray) -> tuple[float, float, float]:
    """(share of successful seeds, low, high), with Wilson's 95% interval; takes floats [S]."""
    test = stats.binomtest(int(np.sum(accuracy >= SUCCESS)), len(accuracy))
    low, high = test.proportion_ci(method="wilson")
    return test.statistic, low, high


def write_markdown(
    path: pathlib.Path,
    options: argparse.Namespace,
    accuracies: Mapping[str, np.ndarray],
    command: str,
) -> None:
    """A row a method; `accuracies` is a dict of row name -> floats [S]."""
    lines = [
        f"Two moons, noise {options.noise:g}, sigma {options.sigma:g}: the student after "
        f"{options.steps:,} steps, {options.seeds} seeds. Mean accuracy on all 2,000 points; "
        "share of seeds with at least 97% of them right, and its 95% Wilson interval.",
        "",
        "| student trained by | mean accuracy | success | 95% interval |",
        "|---|---|---|---|",
    ]
    for name, accuracy in accuracies.items():
        share, low, high = success(accuracy)
        lines.append(f"| {name} | {np.mean(accuracy):.3f} | {share:.2f} | {low:.2f}-{high:.2f} |")
    files.write_text(str(path), "\n".join([*lines, "", f"`{command}`", ""]))


def write_csv(path: pathlib.Path, accuracies: Mapping[str, np.ndarray]) -> None:
    """A line a method and seed."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["method", "seed", "accuracy", "success"])
        for name, accuracy in accuracies.items():
            for seed, value in enumerate(accuracy):
                rows.writerow([name, seed, f"{value:.4f}", int(value >= SUCCESS)])


def typical(accuracies: Mapping[str, np.ndarray]) -> int:
    """The seed that lies nearest to the medians of all methods, in sum."""
    table = np.array(list(accuracies.values()))
    return int(np.argmin(np.abs(table - np.median(table, axis=1, keepdims=True)).sum(0)))


def draw(
    path: pathlib.Path,
    data: Moons,
    methods: Mapping[str, Method],
    accuracies: Mapping[str, np.ndarray],
) -> None:
    """A panel a method: decision regions, points and labels of the `typical` seed."""
    seed, seeds = typical(accuracies), data[0].shape[1]
    points, label, index = (part[:, seed] for part in data)
    grid = np.linspace(-2.4, 2.4, 161, dtype=np.float32)
    places = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 1, 2)
    tints, dots = ("#cfe0f3", "#fbdcc4"), ("#1f5fa8", "#c8560c")
    figure, panels = plt.subplots(2, 4, figsize=(11, 6.8), layout="constrained")
    for axes, (name, method) in zip(panels.flat, methods.items(), strict=False):
        probs = np.asarray(method(np.tile(places, [1, seeds, 1])))[:, seed, 1]
        axes.contourf(grid, grid, probs.reshape(len(grid), -1), [-1, 0.5, 2], colors=tints)
        for k in range(2):
            axes.scatter(*points[label == k].T, s=1.5, color=dots[k], linewidths=0)
            stars = points[index][label[index] == k].T
            axes.scatter(*stars, s=190, marker="*", color=dots[k], edgecolors="black", zorder=3)
        mean, share = np.mean(accuracies[name]), success(accuracies[name])[0]
        lines = name.replace(", ", ",\n") if ", " in name else name.replace(" (", "\n(")
        title = f"{lines}\nmean {mean:.3f}, success {share:.2f}"
        axes.set_title(title, fontsize=11)
        axes.set(xticks=[], yticks=[], xlim=grid[[0, -1]], ylim=grid[[0, -1]], aspect="equal")
    legend = f"""Titles: {seeds} seeds.
Panels: seed {seed}, the nearest
to the medians of all methods.

Background: the student's
decision.
Dots: the points, in the colour
of their class.
Stars: the 6 labels."""
    panels.flat[-1].axis("off")
    panels.flat[-1].text(0, 0.5, legend, va="center", fontsize=11)
    figure.savefig(path, dpi=110, bbox_inches="tight", pad_inches=0.1)
    plt.close(figure)
