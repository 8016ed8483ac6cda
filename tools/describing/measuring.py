"""The memory that a step really takes, by the statistics of TensorFlow's allocator."""

import gc

import tensorflow as tf

import made_up_batch
from mpl_tf.cli import Failure
from mpl_tf.config import Config
from mpl_tf.runs import building

_STEPS = 3


def peak(settings: Config, num_classes: int, image_shape: tuple[int, int, int]) -> int:
    """Bytes in use where steps on random images use most, networks and batch among them.

    What is in use before the networks are made is left out. The allocator counts tensors: neither
    the Python process, nor what it holds in reserve, which the operating system counts as well. On
    a CPU it leaves out tensors of less than 256 KiB.

    Args:
      settings: of a run on one device.
      num_classes: K.
      image_shape: (height, width, channels).

    Raises:
      Failure: the allocator keeps no statistics.
    """
    device = "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
    gc.collect()  # networks of earlier measurements
    before = _in_use(device)["current"]
    unlabeled = settings.run.labeled_batch * settings.run.unlabeled_ratio
    method, _ = building.build_method(settings, num_classes, image_shape, unlabeled)
    made_up = made_up_batch.make(method, settings.run, num_classes, image_shape)
    batch = {name: tf.constant(value) for name, value in made_up.items()}
    step = tf.function(method.train_step, autograph=False)
    step.get_concrete_function(batch)
    tf.config.experimental.reset_memory_stats(device)
    for _ in range(_STEPS):
        step(batch)
    return _in_use(device)["peak"] - before


def _in_use(device):
    try:
        return tf.config.experimental.get_memory_info(device)
    except ValueError as error:
        raise Failure(
            f"TensorFlow keeps no statistics of the memory of {device} here: it does for GPUs, and "
            "for CPUs with oneDNN (x86 Linux, unless TF_ENABLE_ONEDNN_OPTS=0)."
        ) from error
