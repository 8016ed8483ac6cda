"""What is evaluated: a trained network, on images with labels."""

import dataclasses
import os
import unicodedata
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tqdm

from mpl_tf import data
from mpl_tf.console import log
from mpl_tf.data import contents, pipeline, splits
from mpl_tf.data.dataset import Images, Source
from mpl_tf.data.options import DataConfig
from mpl_tf.images import decode
from mpl_tf.options import ConfigError
from mpl_tf.runs import cached, calibration, folder, provenance, restore, selected
from mpl_tf.serving import loading, saved_model, signatures


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network that is evaluated.

    Attributes:
      name: which network of what.
      class_names: one a class.
      image_shape: (height, width, channels).
      classify: uint8 [N, *image_shape] -> float32 [N, K] class probabilities.
      run: the run it comes from; None of an export.
      calibration_temperature: by which logits are divided in these probabilities.
      dataset: that it was trained with, on whose validation images the temperature was fitted; ""
        if that is not known.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    classify: Callable[[tf.Tensor], tf.Tensor]
    run: restore.Run | None = None
    calibration_temperature: float = 1.0
    dataset: str = ""


def of_run(path: str, which: str) -> Subject:
    """A network of the run in a folder; see `restore.restore`. It answers as its export would."""
    run = restore.find(path)
    which, network = restore.restore(run, which)
    temperature = calibration.of_run(path, which)
    module = signatures.classifier(network, run.class_names, temperature=temperature)
    return Subject(
        f"{which} of {path}",
        run.class_names,
        network.input_shape[1:],
        lambda images: module.serving_default(images)["probabilities"],
        run,
        temperature,
        run.config.run.dataset,
    )


def of_export(path: str) -> Subject:
    """An export, or that of a run or of auto, of whose folder this is; see `loading.load`."""
    # The function holds it, or its variables would go.
    export = loading.load(folder.exports_of(path))
    return Subject(
        export.path,
        export.class_names,
        export.image_shape,
        lambda images: export.signatures["serving_default"](images=images)["probabilities"],
        calibration_temperature=export.calibration_temperature,
        dataset=str(saved_model.read_asset(export.path, saved_model.CONFIG).get("dataset", "")),
    )


def load_images(
    subject: Subject,
    dataset: str = "",
    *,
    data_dir: str = "",
    part: str = "test",
    skip_broken: bool = False,
) -> Images:
    """The images to evaluate on.

    Args:
      subject: the network that will classify them.
      dataset: as `data.find` takes it; if empty, that of the subject's run, divided as there; a
        warning says whether its images have changed since.
      data_dir: folder of TensorFlow Datasets; see `data.options.DataConfig`.
      part: "test" or "validation".
      skip_broken: whether files that are no images are left out instead of refused.

    Returns:
      Images of the subject's height and width, labels in the order of its classes.

    Raises:
      ConfigError: there are none, or they do not fit the network.
    """
    if dataset:
        height, width, _ = subject.image_shape
        images, class_names = data.find_part(dataset, part, data_dir)(
            DataConfig(
                data_dir=data_dir,
                image_size=height if height == width else 0,
                skip_broken=skip_broken,
            )
        )
    elif subject.run is None:
        raise ConfigError(f"{subject.name} needs a dataset.")
    else:
        config = subject.run.config
        dataset = config.run.dataset
        image_size = config.data.eval_image_size or config.data.image_size
        source = _load(
            dataset,
            dataclasses.replace(
                cached.data_options(config, subject.run.path),
                data_dir=data_dir or config.data.data_dir,
                image_size=image_size,
                skip_broken=skip_broken or config.data.skip_broken,
            ),
        )
        images, class_names = _of_run(subject.run, source, part), source.class_names
    if images is None:
        raise ConfigError(f"{dataset} has no {part} images.")
    if tuple(images.shape[:2]) != subject.image_shape[:2]:
        raise ConfigError(
            f"{subject.name} takes images of {_size(subject.image_shape)} pixels; those of "
            f"{dataset} have {_size(images.shape)}."
        )
    ids = {_composed(name): label for label, name in enumerate(subject.class_names)}
    unknown = sorted(name for name in class_names if _composed(name) not in ids)
    if unknown:
        raise ConfigError(
            f"{dataset} has {len(unknown)} classes that {subject.name} does not know: "
            f"{', '.join(unknown[:5])}."
        )
    class_ids = np.array([ids[_composed(name)] for name in class_names], np.int64)
    return images.relabel(class_ids[images.labels])


def _composed(name):
    """A name in the one of Unicode's forms in which accents and letters are one character."""
    return unicodedata.normalize("NFC", name)


def _of_run(run: restore.Run, source: Source, part: str) -> Images | None:
    """Images of the run's data, divided as when it was started: others may have been trained on."""
    there = provenance.read_images(run.path)
    if there is not None:
        there.pop(selected.PART, None)
    if there is not None and (changes := contents.differences(there, source.contents())):
        log.warning(
            f"the images are not those that {run.path} was started with: {'; '.join(changes)}"
        )
    if part == "test":
        return source.test
    ids = splits.read_ids(os.path.join(run.path, folder.SPLIT))
    return splits.split(source, 0, 0, 0, ids=ids).validation


def _load(dataset: str, options: DataConfig) -> Source:
    return data.find(dataset, options.data_dir).load(options)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"


def probabilities(subject: Subject, images: Images, batch: int) -> np.ndarray:
    """Class probabilities, with a bar on a terminal.

    Args:
      subject: the network.
      images: what it classifies; grey ones are made RGB, or the other way, if need be.
      batch: images at once.

    Returns:
      float32 [N, K].

    Raises:
      ConfigError: some are NaN or infinite, of which no accuracy can be measured.
    """
    channels, probs = subject.image_shape[2], []
    with tqdm.tqdm(total=len(images), unit="image", disable=None, leave=False) as bar:
        for pixels, _ in pipeline.evaluation_batches(images, batch):
            if images.shape[2] != channels:
                pixels = tf.map_fn(lambda image: decode.convert(image, channels), pixels)
            probs.append(subject.classify(pixels).numpy())
            bar.update(len(pixels))
    rows = np.concatenate(probs)
    if count := int(np.sum(~np.isfinite(rows).all(axis=1))):
        raise ConfigError(
            f"{subject.name} gives probabilities that are NaN or infinite for {count:,} of "
            f"{len(rows):,} images: it cannot be measured. Check its weights."
        )
    return rows
