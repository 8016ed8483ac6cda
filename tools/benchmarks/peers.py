"""Speed beside the peers, in one run: RandAugment, and a supervised step of `fit`.

The first table is that of `augment`. The second times a step in Keras's `fit` of the same network
on the same batch, from the end of an epoch's first step to the end of its last, so that data,
callbacks and logs count:

    mpl_tf               mpl_tf.Supervised, without XLA, as it is by default
    keras, the same      plain Keras's compile and fit with the same optimizer, smoothing, clipping
                         and moving average (of the trainable weights alone), without XLA
    keras, as it comes   the same loss and optimizer, no clipping, no average; Keras decides on XLA,
                         which it does not take on a CPU

Rounds are interleaved. Printed are medians and, in parentheses, the middle half of the rounds: of
milliseconds on the clock and of CPU time, which is that of all threads and which other processes of
a busy machine hardly change; and, round by round, the step of mpl_tf divided by the peer's.
"""

import argparse
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import mpl_tf
from arguments import at_least
from benchmarks import augment
from benchmarks.step import middle_half

NAME = "peers"
HELP = "RandAugment and a supervised step beside keras_cv's and Keras's own"

# Network -> shape of its images.
NETWORKS = {"small": (8, 8, 1), "wide_resnet_16_1": (32, 32, 3)}
_CLASSES = 10
_SMOOTHING, _DECAY, _CLIP_NORM = 0.15, 0.995, 5.0
_OPTIMIZER = {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True}


def define(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's arguments to an argparse parser."""
    augment.define(parser)
    parser.add_argument("--labeled", type=at_least(1), default=64, help="images a step [64]")
    parser.add_argument("--steps", type=at_least(2), default=20, help="steps a round [20]")


class Clock(keras.callbacks.Callback):
    """Times the steps of an epoch after its first one, their results read.

    Attributes:
      seconds: float64 [2], of a step: on the clock, and of the process's CPU time.
    """

    seconds: np.ndarray

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        for value in (logs or {}).values():
            float(value)  # waits
        now = np.array([time.perf_counter(), time.process_time()])
        if batch == 0:
            self._start = now
        elif batch == self.params["steps"] - 1:
            self.seconds = (now - self._start) / batch


def contenders(network: str, labeled: int) -> dict[str, tuple[keras.Model, tf.data.Dataset]]:
    """What is timed, each with a network of its own.

    Args:
      network: by its name; NETWORKS has the shape of its images.
      labeled: images a step.

    Returns:
      Name -> (compiled model, data without end for its `fit`).
    """
    shape, rng = NETWORKS[network], np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (labeled, *shape)).astype(np.uint8))
    label = tf.constant(rng.integers(_CLASSES, size=labeled))

    def made():
        return mpl_tf.NETWORKS[network](_CLASSES, shape, seed=1)

    def endless(batch):
        return tf.data.Dataset.from_tensors(batch).repeat().prefetch(2)

    ours = mpl_tf.Supervised(made(), label_smoothing=_SMOOTHING, ema_decay=_DECAY)
    ours.compile(keras.optimizers.SGD(**_OPTIMIZER), clip_norm=_CLIP_NORM)
    rows = {"mpl_tf": (ours, endless({"labeled": images, "label": label}))}
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=_SMOOTHING)
    average = {"use_ema": True, "ema_momentum": _DECAY, "global_clipnorm": _CLIP_NORM}
    for name, features, compiled in (
        ("keras, the same", average, {"jit_compile": False}),
        ("keras, as it comes", {}, {}),
    ):
        model = made()
        model.compile(keras.optimizers.SGD(**_OPTIMIZER, **features), loss, **compiled)
        rows[name] = model, endless((images, tf.one_hot(label, _CLASSES)))
    return rows


def times(
    models: Mapping[str, tuple[keras.Model, tf.data.Dataset]], steps: int, rounds: int
) -> dict[str, np.ndarray]:
    """Seconds of a step in every round; rounds are interleaved.

    Args:
      models: of `contenders`.
      steps: of a round, at least 2; the first one is not timed.
      rounds: after one that is not timed, in which steps are traced.

    Returns:
      Name -> float64 [2, rounds]: on the clock, and of the process's CPU time.
    """
    seconds: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for round_ in range(-1, rounds):
        for name, (model, data) in models.items():
            clock = Clock()
            fit = {"steps_per_epoch": steps, "shuffle": False, "verbose": 0, "callbacks": [clock]}
            if isinstance(model, mpl_tf.Supervised):
                fit["renew_statistics"] = False  # which would come after the steps
            model.fit(data, **fit)
            if round_ >= 0:
                seconds[name].append(clock.seconds)
    return {name: np.transpose(measured) for name, measured in seconds.items()}


def row(name: str, seconds: np.ndarray, ours: np.ndarray) -> list[str]:
    """Markdown cells: name, milliseconds, and ours / these, each on the clock and of the CPU.

    Args:
      name: of the row.
      seconds: float64 [2, rounds].
      ours: likewise, of mpl_tf.
    """
    return [
        name,
        *(middle_half(1e3 * measured) for measured in seconds),
        *(middle_half(ratio) for ratio in ours / seconds),
    ]


def run(arguments: argparse.Namespace) -> int:
    """Prints two Markdown tables; returns the exit status."""
    augment.run(arguments)
    print("\n| network | step in fit of | ms, clock | ms, CPU | mpl_tf / it, clock | CPU |")
    print("|---|---|---|---|---|---|")
    for network in NETWORKS:
        seconds = times(contenders(network, arguments.labeled), arguments.steps, arguments.rounds)
        for name, measured in seconds.items():
            cells = [network, *row(name, measured, seconds["mpl_tf"])]
            print("|", " | ".join(cells), "|", flush=True)
    return 0
