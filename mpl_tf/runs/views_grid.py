"""views.png: what the networks see."""

import tensorflow as tf
from matplotlib.figure import Figure

from mpl_tf.augment.draws import Draws
from mpl_tf.files import whole
from mpl_tf.runs.experiment import Experiment

_IMAGES, _WEAK, _STRONG = 8, 2, 5


def draw(path: str, experiment: Experiment) -> None:
    """Draws weak and strong views of the first labeled images.

    Args:
      path: the PNG to write.
      experiment: its labeled images, their classes, its views and its seed are read.
    """
    labeled, class_names = experiment.split.labeled, experiment.split.class_names
    first = labeled.take(slice(_IMAGES))
    images = tf.constant(first.images)
    seed = tf.constant([experiment.config.run.seed, 0], tf.int64)
    columns = [("as read", images)]
    views = (("weak", experiment.views.weak, _WEAK), ("strong", experiment.views.strong, _STRONG))
    for number, (title, policy, count) in enumerate(views):
        draws = Draws(seed, len(first)).child(number)
        columns += [(title, policy(images, draws.child(i))) for i in range(count)]
    figure = Figure(figsize=(1.3 * len(columns), 1.35 * len(first)))
    grid = figure.subplots(len(first), len(columns), squeeze=False)
    for column, (title, batch) in enumerate(columns):
        grid[0, column].set_title(title, fontsize=10)
        for row, image in enumerate(batch.numpy()):
            axes = grid[row, column]
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
            axes.set_xticks([])
            axes.set_yticks([])
            if not column:
                name = class_names[first.labels[row]]
                axes.set_ylabel(name[:16], fontsize=9)
    figure.tight_layout(pad=0.4)
    with whole(path) as partial:
        figure.savefig(partial, dpi=100)
