"""What is evaluated on what: a trained network, and images with labels."""

import collections.abc
import dataclasses
import json
import re

import numpy as np
import tensorflow as tf
import tqdm

from mpl_tf import data, runs, saved_model, signatures, training
from mpl_tf.data import decode, pipeline, tfds_sets
from mpl_tf.data.dataset import DataConfig
from mpl_tf.options import ConfigError

_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})")


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network that is evaluated.

    Attributes:
      name: str, which network of what.
      class_names: tuple of K str.
      image_shape: (height, width, channels).
      answer: callable, uint8 [N, *image_shape] -> float32 [N, K] class probabilities.
      run: runs.Run it comes from, or None.
    """

    name: str
    class_names: tuple
    image_shape: tuple
    answer: collections.abc.Callable
    run: object = None


def of_run(path, which):
    """A network of the run in a folder; see `runs.restore`. It answers as its export would."""
    run = runs.find(path)
    which, network = runs.restore(run, which)
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
        parts = training.make_split(settings, source)
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


def read_real_labels(path):
    """The content of a real.json, by the number of ImageNet's validation image.

    Args:
      path: str, a JSON list of lists of class ids; its first entry is the image numbered 1.

    Returns:
      list of list of int.

    Raises:
      ConfigError: it is no such file.
    """
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"real_labels {path} cannot be read: {error}.") from error
    if not isinstance(found, list) or not all(
        isinstance(ids, list) and all(type(k) is int for k in ids) for ids in found
    ):
        raise ConfigError(f"real_labels {path} must hold a list of lists of class ids.")
    return found


def real_labels_of(images, real, subject, options):
    """The reassessed labels of images, by the names of the files they come from.

    Args:
      images: data.dataset.Images of ImageNet's validation set, or some of it.
      real: what `read_real_labels` gives.
      subject: Subject.
      options: evaluate.Options.

    Returns:
      list of N lists of int.

    Raises:
      ConfigError: an image has another name, or no entry, or one that is no class.
    """
    names, dataset, data_dir = list(map(str, images.ids)), options.dataset, options.data_dir
    if not dataset:
        dataset = subject.run.config.run.dataset
        data_dir = data_dir or subject.run.config.data.data_dir
    if dataset.startswith("imagenet"):  # of TensorFlow Datasets, whose ids are places in its order
        files = tfds_sets.file_names(dataset, data_dir, names[0].partition("/")[0])
        names = [files[int(name.partition("/")[2])] for name in names] if files else names
    numbers = [_NUMBER.search(name) for name in names]
    if None in numbers:
        raise ConfigError(
            "real_labels are for files called ILSVRC2012_val_00000001 and so on; the images have "
            f"{names[numbers.index(None)]!r}."
        )
    numbers = [int(number[1]) for number in numbers]
    if min(numbers) < 1 or max(numbers) > len(real):
        raise ConfigError(
            f"real_labels must have an entry for image {max(numbers)}; it has {len(real)}."
        )
    found = [real[number - 1] for number in numbers]
    classes = len(subject.class_names)
    wrong = [k for ids in found for k in ids if not 0 <= k < classes]
    if wrong:
        raise ConfigError(f"real_labels must be from 0 to {classes - 1}; received {wrong[0]}.")
    return found
