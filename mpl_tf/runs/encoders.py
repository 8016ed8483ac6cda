"""Encoders that self-supervised methods have taught: handed over, kept in a file, and looked at."""

import keras
import numpy as np

from mpl_tf import files
from mpl_tf.data.dataset import Images
from mpl_tf.engine import devices, projections
from mpl_tf.engine.method import Method
from mpl_tf.runs import folder, neighbours, views_grid
from mpl_tf.runs.experiment import Experiment

# How many images the picture has, and of how many of the pool their neighbours are found.
_QUERIES, _POOL = 8, 2000


def hand_over(taught: Method, method: Method) -> None:
    """Gives all networks of a method that begins the encoder of a student; heads stay as they are.

    A restored method takes its own weights from its checkpoint afterwards.

    Args:
      taught: whose student has the encoder.
      method: whose networks are of the same layers.
    """
    weights = projections.parts(taught.student)[0].get_weights()
    for _, network in method.starting_networks():
        projections.parts(network)[0].set_weights(weights)


def keep(experiment: Experiment) -> None:
    """Writes the encoder of a run's student as a file that `--network=file:` takes, and a picture.

    The picture, `neighbours.png`, has validation images, or labeled ones if there are none, beside
    the unlabeled images that the encoder finds most like them.

    Args:
      experiment: of a self-supervised method that has come to its end.
    """
    if not devices.is_chief(experiment.method.distribute_strategy):
        return
    encoder, _ = projections.parts(experiment.whole(experiment.method.student))
    path = experiment.file(folder.ENCODER)
    # Keras writes to names with this ending alone.
    with files.whole(path, f"{path.removesuffix('.keras')}.partial.keras") as partial:
        encoder.save(partial)
    split = experiment.split
    pool = split.unlabeled
    if not isinstance(pool, Images):
        return
    shown = split.validation or split.labeled
    shown = shown.take(views_grid.of_all_classes(shown.labels, _QUERIES))
    rng = np.random.default_rng(experiment.config.run.seed)
    some = pool.take(np.sort(rng.permutation(len(pool))[:_POOL]))
    names = [experiment.split.class_names[label] for label in shown.labels]
    flat = keras.Sequential([encoder, keras.layers.Flatten()])
    neighbours.draw(experiment.file(folder.NEIGHBOURS), flat, shown.images, some.images, 8, names)
