"""What Keras's methods are called with, and what a trainer cannot use of it."""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.console import log
from mpl_tf.engine.batches import check_label_spec, wrong_labels
from mpl_tf.engine.sharpness import PERTURBATIONS
from mpl_tf.engine.user_networks import has_synchronized
from mpl_tf.networks import parts
from mpl_tf.options import ConfigError

# What Keras's `fit` takes for other data, and what there is here in its place.
_INSTEAD = {
    "y": "the data holds images and labels: mpl_tf.data.pair((images, labels), ...) makes it",
    "class_weight": "it belongs to the constructor: {name}(..., class_weight={{0: 1.0, 1: 3.0}})",
    "sample_weight": "class_weight of the constructor weights labels by class",
    "batch_size": "the data comes in batches: mpl_tf.data.pair(..., labeled_batch=32)",
    "validation_split": "labeled images for validation go to validation_data=(images, labels)",
}
# Arguments of Keras's `compile` that have no effect on a method.
_OF_LOSSES = ("loss", "loss_weights", "metrics", "weighted_metrics")


def check_compile(
    name: str, settings: Mapping[str, Any], unused: Mapping[str, Any] | Sequence[str]
) -> None:
    """Refuses arguments of `compile` that are of no use, of a wrong type or out of range.

    Args:
      name: of the trainer's class, for messages.
      settings: name -> value, of the arguments that `Trainer.compile` has.
      unused: names of others.

    Raises:
      ValueError: there is such an argument.
    """
    if "learning_rate" in unused:
        raise ValueError(
            f"{name}.compile has no use for learning_rate: the optimizer has it, as in "
            "keras.optimizers.SGD(0.1)."
        )
    if unused:
        reason = "a method has its own loss, and reports accuracy and cross entropy of its networks"
        if not all(argument in _OF_LOSSES for argument in unused):
            reason = f"beside optimizers it takes {', '.join(settings)}"
        raise ValueError(f"{name}.compile has no use for {', '.join(unused)}: {reason}.")
    for argument, value in settings.items():
        allowed = _violated(argument, value)
        if allowed:
            raise ValueError(f"{argument} must be {allowed}; received {value!r}.")


def check_networks_compiled(
    networks: Mapping[str, keras.Model], jit_compile: bool, backbone_rate: float
) -> None:
    """Refuses what networks cannot be compiled with.

    Args:
      networks: of a trainer, by role.
      jit_compile: whether XLA is to compile their passes on several replicas.
      backbone_rate: what the learning rate of their backbones is multiplied by.

    Raises:
      ConfigError: they have synchronised batch normalisation, or no backbones.
    """
    joined = [role for role, network in networks.items() if has_synchronized(network)]
    if jit_compile and joined:
        raise ConfigError(
            "jit_compile on several replicas works without synchronised batch normalisation "
            f"only, because XLA cannot compile its collectives here; {', '.join(joined)} has "
            "it. Leave jit_compile out, or take a network without batch normalisation."
        )
    if backbone_rate != 1 and not any(map(parts.has_parts, networks.values())):
        raise ConfigError(
            f"backbone_rate={backbone_rate} is for networks of a backbone and a head "
            "(mpl_tf.networks.parts); there is none."
        )


def _violated(argument, value):
    """What an argument of `compile` must be, if `value` is not; else ""."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if argument in ("weight_decay", "sam_rho"):
        return "" if number and value >= 0 else "a number of at least 0"
    if argument == "backbone_rate":
        return "" if number and value > 0 else "a number greater than 0"
    if argument == "sam_perturbation":
        return "" if value in PERTURBATIONS else f"one of {', '.join(PERTURBATIONS)}"
    if argument == "clip_norm":
        return "" if value is None or (number and value > 0) else "a number greater than 0, or None"
    if argument in ("steps_per_execution", "accumulate_steps", "stages"):
        return "" if _is_count(value) else "a whole number of at least 1"
    return "" if isinstance(value, (bool, np.bool_)) else "True or False"


def _is_count(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 1


def check_fit(
    name: str, positional: Sequence[Any], keywords: Mapping[str, Any], steps: Any, group: int
) -> None:
    """Refuses arguments of `fit` that are of no use, and numbers of steps that are none.

    Args:
      name: of the trainer's class, for messages.
      positional: what `fit` received after its data.
      keywords: what it received by name.
      steps: `steps_per_epoch`.
      group: `steps_per_execution`.

    Raises:
      ValueError: there is such an argument.
    """
    unused = ["y"] * bool(positional) + [key for key in _INSTEAD if keywords.get(key) is not None]
    if unused:
        raise ValueError(
            f"{name}.fit has no use for {unused[0]}: {_INSTEAD[unused[0]].format(name=name)}."
        )
    if steps is None:
        raise ValueError(
            "fit needs steps_per_epoch: the unit of training is the step and the data repeats "
            "without end. Example: fit(data, steps_per_epoch=500, epochs=4)."
        )
    if not _is_count(steps) or steps % group:
        raise ValueError(
            f"steps_per_epoch must be a whole number of at least 1, and a multiple of "
            f"steps_per_execution={group}; received {steps!r}."
        )


def check_labeled(
    caller: str, x: Any, y: Any, networks: Mapping[str, keras.Model], trained_on: Any
) -> None:
    """Refuses images with labels that do not fit networks; of Datasets the first batch is read.

    Args:
      caller: for messages, such as "evaluate".
      x: images [N,H,W,C], or a tf.data.Dataset of batches (images, label) or (images, label,
        weight).
      y: labels [N]; None of a Dataset.
      networks: role -> network that the images go through.
      trained_on: as for `check_images`.

    Raises:
      ValueError: there are no labels, or they are no class ids, or images are as in `check_images`.
    """
    if isinstance(x, tf.data.Dataset):
        spec = x.element_spec
        if not isinstance(spec, tuple) or len(spec) not in (2, 3):
            raise ValueError(
                f"{caller} takes a tf.data.Dataset of batches (images, label); received {spec}."
            )
        images, label_spec = spec[:2]
    elif _is_array(x):
        if y is None:
            raise ValueError(
                f"{caller} needs labels beside images, as in {caller}(images, labels); received "
                "images alone."
            )
        images, label_spec = x, tf.TensorSpec(np.shape(y), np.asarray(y).dtype)
    else:  # of other data nothing is known before it is read
        return
    check_images(caller, images, networks, trained_on)
    _, *classifiers, num_classes = next(iter(networks.values())).output_shape
    check_label_spec(label_spec, classifiers, num_classes)
    if isinstance(x, tf.data.Dataset):
        images, y, *_ = next(iter(x.take(1)), (None, np.zeros(0)))
        if images is not None and trained_on == tf.uint8:
            _check_range(caller, np.asarray(images))
    wrong = wrong_labels(np.asarray(y), num_classes)
    if wrong.size:
        raise ValueError(
            f"labels must be whole numbers from 0 to {num_classes - 1}, as the networks have "
            f"{num_classes} classes; {caller} received {wrong.flat[0]}. Leave images without a "
            "label out."
        )


def check_images(
    caller: str, images: Any, networks: Mapping[str, keras.Model], trained_on: Any
) -> None:
    """Refuses images of another shape or scale than networks take, and warns of another range.

    Args:
      caller: for messages, such as "predict".
      images: [N,H,W,C], or the tf.TensorSpec of such; other data is not looked at.
      networks: role -> network that the images go through.
      trained_on: dtype of the images that the networks were trained on; None if not known.

    Raises:
      ValueError: they have another shape, or were scaled from 0 to 255 to less.
    """
    if not (_is_array(images) or isinstance(images, tf.TensorSpec)):
        return
    array = images if isinstance(images, tf.TensorSpec) else np.asarray(images)
    shape = tf.TensorShape(array.shape)
    for role, network in networks.items():
        expected = network.input_shape[1:]
        if not shape.is_compatible_with([None, *expected]):
            sizes = ", ".join(map(str, expected))
            raise ValueError(
                f"{caller} takes images [N, {sizes}], as {role} does; received shape {shape}."
            )
    if not shape[0] and shape[0] is not None:
        raise ValueError(f"{caller} takes at least one image; received shape {shape}.")
    if isinstance(array, np.ndarray) and trained_on == tf.uint8:
        _check_range(caller, array)


def check_dataset(
    caller: str, data: tf.data.Dataset, networks: Mapping[str, keras.Model], trained_on: Any
) -> None:
    """As `check_images`, of a Dataset of batches of images, or of tuples that begin with them.

    Of floating images the first batch is read, for its range.
    """
    spec = data.element_spec
    spec = spec[0] if isinstance(spec, tuple) else spec
    check_images(caller, spec, networks, trained_on)
    if isinstance(spec, tf.TensorSpec) and spec.dtype.is_floating and trained_on == tf.uint8:
        for batch in data.take(1):
            _check_range(caller, np.asarray(batch[0] if isinstance(batch, tuple) else batch))


def range_of(data: Any) -> tuple[float, float] | None:
    """Least and greatest value of the labeled images in the first batch.

    Args:
      data: as `fit` takes it.

    Returns:
      None if images are not floating, or nothing can be read without a strategy.
    """
    if isinstance(data, tf.data.Dataset) and data.element_spec["labeled"].dtype.is_floating:
        for batch in data.take(1):
            images = batch["labeled"].numpy()
            return float(images.min()), float(images.max())
    return None


def _check_range(caller: str, images: np.ndarray) -> None:
    """Refuses images that were scaled to [0, 1] or [-1, 1], and warns of other ranges.

    Whole numbers may be images in black and white, and a value beyond 0 to 255 comes of resizing.

    Raises:
      ValueError: values are fractions of such a range.
    """
    if images.dtype.kind not in "buif":
        return
    low, high = float(np.min(images)), float(np.max(images))
    if low >= -1 and high <= 1 and (images != np.floor(images)).any():
        factor = "images * 255.0" if low >= 0 else "(images + 1.0) * 127.5"
        raise ValueError(
            f"{caller} received images of fractions from {low:.3g} to {high:.3g}; the networks "
            "were trained on values from 0 to 255, which they scale themselves. Pass the images as "
            f"they were before they were scaled, or {factor}."
        )
    if low < 0 or high > 255 or (high <= 1 and (high or images.dtype.kind == "f")):
        log.warning(
            f"\nWarning: {caller} received images of values from {low:.3g} to {high:.3g}; the "
            "networks were trained on values from 0 to 255, which they scale themselves."
        )


def _is_array(x):
    return isinstance(x, (np.ndarray, list, tuple)) or tf.is_tensor(x)


def check_seed(seed: int) -> int:
    """A seed, which must be a whole number of 64 bits.

    Raises:
      ConfigError: it is not.
    """
    if not isinstance(seed, numbers.Integral) or not -(2**63) <= int(seed) < 2**63:
        raise ConfigError(
            f"seed must be a whole number of 64 bits; received {seed!r}. What a method draws is a "
            "function of it: for other draws in each run, take another number in each."
        )
    return int(seed)


def check_num_unlabeled(num_unlabeled: int | None) -> int:
    """The size of a pool, which must be a whole number of at least 1; None is what was not said.

    Raises:
      ConfigError: it is not.
    """
    if not isinstance(num_unlabeled, numbers.Integral) or num_unlabeled < 1:
        raise ConfigError(
            f"num_unlabeled must be a whole number of at least 1; received {num_unlabeled!r}. "
            "Pass num_unlabeled=data.num_unlabeled, of data that mpl_tf.data.pair made."
        )
    return int(num_unlabeled)
