"""views.png: what the networks see."""

import matplotlib
import tensorflow as tf

from mpl_tf.augment.draws import Draws
from mpl_tf.files import whole

matplotlib.use("Agg")  # files only: no display is needed
from matplotlib import pyplot as plt

_IMAGES, _WEAK, _STRONG = 8, 2, 5


def draw(path, experiment):
    """Draws weak and strong views of the first labeled images.

    Args:
      path: str, the PNG to write.
      experiment: experiment.Experiment.
    """
    labeled, class_names = experiment.split.labeled, experiment.split.class_names
    shown = labeled.take(range(min(_IMAGES, len(labeled))))
    images = tf.constant(shown.images)
    seed = tf.constant([experiment.config.run.seed, 0], tf.int64)
    columns = [("as read", images)]
    kinds = (("weak", experiment.views.weak, _WEAK), ("strong", experiment.views.strong, _STRONG))
    for number, (title, policy, count) in enumerate(kinds):
        draws = Draws(seed, len(shown)).child(number)
        columns += [(title, policy(images, draws.child(i))) for i in range(count)]
    figure, grid = plt.subplots(
        len(shown), len(columns), figsize=(1.3 * len(columns), 1.35 * len(shown)), squeeze=False
    )
    for column, (title, batch) in enumerate(columns):
        grid[0, column].set_title(title, fontsize=10)
        for row, image in enumerate(batch.numpy()):
            axes = grid[row, column]
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
            axes.set_xticks([])
            axes.set_yticks([])
            if not column:
                name = class_names[shown.labels[row]]
                axes.set_ylabel(name[:16], fontsize=9)
    figure.tight_layout(pad=0.4)
    with whole(path) as partial:
        figure.savefig(partial, dpi=100)
    plt.close(figure)
