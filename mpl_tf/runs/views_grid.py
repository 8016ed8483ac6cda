"""views.png: what the networks see."""

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from mpl_tf.augment.draws import Draws
from mpl_tf.augment.policies import of_view
from mpl_tf.runs import drawing
from mpl_tf.runs.experiment import Experiment

_IMAGES, _WEAK, _STRONG = 8, 2, 5


def draw(path: str, experiment: Experiment) -> bool:
    """Draws weak and strong views of labeled images, of as many classes as have room.

    Args:
      path: the PNG to write.
      experiment: its labeled images, their classes, its method's views and its seed are read.

    Returns:
      Whether it was drawn.
    """
    return drawing.save(path, lambda: _grid(experiment))


def _grid(experiment: Experiment) -> Figure:
    """A row an image, a column a view."""
    labeled, class_names = experiment.split.labeled, experiment.split.class_names
    chosen = labeled.take(of_all_classes(labeled.labels, _IMAGES))
    images = tf.constant(chosen.images)
    seed = tf.constant([experiment.config.run.seed, 0], tf.int64)
    columns = [("as read", images)]
    has_strong = any(view.startswith("strong") for view in experiment.method.unlabeled_views)
    views = (
        ("weak", experiment.views.weak, _WEAK),
        ("strong", experiment.views.strong, _STRONG if has_strong else 0),
    )
    for number, (title, policy, count) in enumerate(views):
        draws = Draws(seed, len(chosen)).child(number)
        for i in range(count):
            # Where the second view is another one, both are there.
            made = of_view(policy, 1 + i % 2)
            columns.append((title, made(images, draws.child(i))))
    cells = np.stack([batch.numpy() for _, batch in columns], axis=1)  # [rows, columns, H, W, C]
    picture, centers = drawing.joined(cells)
    figure = Figure(figsize=(0.4 + 1.3 * len(columns), 1.35 * len(chosen)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(picture)
    names = [drawing.short(class_names[label]) for label in chosen.labels]
    axes.set_xticks(centers[1], [title for title, _ in columns], fontsize=10)
    axes.set_yticks(centers[0], names, fontsize=9, rotation=90, va="center")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure


def of_all_classes(labels: np.ndarray, count: int) -> np.ndarray:
    """Positions of the first images of each class in turn, in the order of the classes.

    Args:
      labels: integer [N], class ids.
      count: how many, if there are as many.

    Returns:
      int64 [min(count, N)].
    """
    rank = np.zeros(len(labels), np.int64)  # of an image among those of its class
    for k in np.unique(labels):
        of_class = np.flatnonzero(labels == k)
        rank[of_class] = np.arange(len(of_class))
    chosen = np.lexsort((labels, rank))[:count]
    return chosen[np.lexsort((rank[chosen], labels[chosen]))]
