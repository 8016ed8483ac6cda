"""What is evaluated on what: a trained network, and images with labels."""

import collections.abc
import dataclasses

import numpy as np
import tensorflow as tf
import tqdm

from mpl_tf import data
from mpl_tf.data import pipeline
from mpl_tf.data.options import DataConfig
from mpl_tf.images import decode
from mpl_tf.options import ConfigError
from mpl_tf.runs import experiment, restore
from mpl_tf.serving import saved_model, signatures


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network that is evaluated.

    Attributes:
      name: str, which network of what.
      class_names: tuple of K str.
      image_shape: (height, width, channels).
      answer: callable, uint8 [N, *image_shape] -> float32 [N, K] class probabilities.
      run: restore.Run it comes from, or None.
    """

    name: str
    class_names: tuple
    image_shape: tuple
    answer: collections.abc.Callable
    run: object = None


def of_run(path, which):
    """A network of the run in a folder; see `restore.restore`. It answers as its export would."""
    run = restore.find(path)
    which, network = restore.restore(run, which)
    module = signatures.classifier(network, run.class_names)
    return Subject(
        f"{which} of {path}",
        run.class_names,
        run.image_shape,
        lambda images: module.serving_default(images)["probabilities"],
        run,
    )


def of_export(path):
    """An export; see `saved_model.find`."""
    path = saved_model.find(path)
    names = saved_model.read_asset(path, saved_model.CLASS_NAMES)
    shape = saved_model.read_asset(path, saved_model.ABOUT)["image_shape"]
    loaded = tf.saved_model.load(path)  # held by the function, or its variables would go
    return Subject(
        path,
        tuple(names),
        tuple(shape),
        lambda images: loaded.signatures["serving_default"](images=images)["probabilities"],
    )


def images(subject, options):
    """The images to evaluate on.

    Args:
      subject: Subject.
      options: evaluate.Options.

    Returns:
      data.dataset.Images of the subject's height and width, labels in the order of its classes.

    Raises:
      ConfigError: there are none, or they do not fit the network.
    """
    name = options.dataset
    if name:
        square = subject.image_shape[0] if len(set(subject.image_shape[:2])) == 1 else 0
        chosen = DataConfig(
            data_dir=options.data_dir, image_size=square, skip_broken=options.skip_broken
        )
        parts = data.find(name, options.data_dir).load(chosen)
    else:
        settings, name = subject.run.config, subject.run.config.run.dataset
        chosen = dataclasses.replace(
            settings.data,
            data_dir=options.data_dir or settings.data.data_dir,
            skip_broken=options.skip_broken or settings.data.skip_broken,
        )
        source = data.find(name, chosen.data_dir).load(chosen)
        parts = experiment.make_split(settings, source)
    found = getattr(parts, options.part)
    if found is None:
        raise ConfigError(f"{name} has no {options.part} images.")
    if found.shape[:2] != tuple(subject.image_shape[:2]):
        raise ConfigError(
            f"{subject.name} takes images of {_size(subject.image_shape)} pixels; those of {name} "
            f"have {_size(found.shape)}."
        )
    unknown = sorted(set(parts.class_names) - set(subject.class_names))
    if unknown:
        raise ConfigError(
            f"{name} has {len(unknown)} classes that {subject.name} does not know: "
            f"{', '.join(unknown[:5])}."
        )
    place = np.array([subject.class_names.index(k) for k in parts.class_names], np.int64)
    return found.relabel(place[found.labels])


def _size(shape):
    return f"{shape[0]}x{shape[1]}"


def probabilities(subject, images, batch):
    """Class probabilities, with a bar on a terminal.

    Args:
      subject: Subject.
      images: data.dataset.Images; grey ones are made RGB, or the other way, if need be.
      batch: int, images at once.

    Returns:
      float32 [N, K].
    """
    channels, found = subject.image_shape[2], []
    with tqdm.tqdm(total=len(images), unit="image", disable=None, leave=False) as bar:
        for some, _ in pipeline.evaluation_batches(images, batch):
            if images.shape[2] != channels:
                some = tf.map_fn(lambda image: decode.convert(image, channels), some)
            found.append(subject.answer(some).numpy())
            bar.update(len(some))
    return np.concatenate(found)
