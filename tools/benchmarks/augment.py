"""RandAugment's speed: ours, keras_cv's and Keras's, in images a second.

Each augments the same uint8 batch with two operations an image, in a compiled function, over and
over. Ours applies half of its operations on average, and keras_cv by default ten of eleven, so it
is also timed at `rate=0.5`; Keras's layer draws its operations once for the whole batch. The lists
of operations differ: ours has 15, keras_cv 10, Keras 11. A peer that is not installed is left out.
Rounds are interleaved; medians and the middle half are printed, and how many times as fast ours is.
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from arguments import at_least
from mpl_tf import console
from mpl_tf.augment.draws import Draws
from mpl_tf.augment.randaugment import RandAugment

Step = Callable[[tf.Tensor], tf.Tensor]  # of the number of a step

NAME = "augment"
HELP = "our RandAugment against keras_cv's and Keras's: images a second"


def define(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's arguments to an argparse parser."""
    parser.add_argument("--side", type=at_least(1), help="pixels of a side [32, then 224]")
    parser.add_argument("--batch", type=at_least(1), help="images [256 up to 32 pixels, else 32]")
    parser.add_argument("--rounds", type=at_least(2), default=11, help="timed rounds [11]")


def contenders(batch: tf.Tensor) -> dict[str, Step]:
    """Name -> function of a step that augments `batch`, uint8 [N, H, W, 3].

    Of a peer that is not installed there is none, and standard error says so.
    """
    policy = RandAugment()
    values = (0, 255)
    layers = {}
    if importlib.util.find_spec("keras_cv") is None:
        console.complain("keras_cv is not installed, and left out: pip install keras-cv==0.9.0")
    else:
        from keras_cv.layers import RandAugment as Theirs

        layers["keras_cv"] = Theirs(values, augmentations_per_image=2)
        layers["keras_cv, rate=0.5"] = Theirs(values, augmentations_per_image=2, rate=0.5)
    layers["keras.layers"] = keras.layers.RandAugment(values, num_ops=2)

    def ours(step):
        return policy(batch, Draws(tf.stack([0, step]), batch.shape[0]))

    def theirs(layer):
        def augment(step):  # keras_cv needs AutoGraph, which needs a function that has a source
            del step
            return layer(batch, training=True)

        return augment

    return {"mpl_tf": ours} | {name: theirs(layer) for name, layer in layers.items()}


def times(functions: Mapping[str, Step], rounds: int) -> dict[str, list[float]]:
    """Seconds of every round of every function of a step, {name: list}; rounds are interleaved."""
    compiled = {name: tf.function(function) for name, function in functions.items()}
    seconds = {name: [] for name in functions}
    for round_ in range(-2, rounds):  # before 0: tracing and warming up
        step = tf.constant(round_ + 2, tf.int64)
        for name, function in compiled.items():
            start_time = time.perf_counter()
            function(step).numpy()
            if round_ >= 0:
                seconds[name].append(time.perf_counter() - start_time)
    return seconds


def rows(seconds: Mapping[str, Sequence[float]], count: int) -> Iterator[tuple[str, str, str, str]]:
    """Markdown cells (name, images/s, middle half, ratio); the first function is the measure."""
    base = statistics.median(next(iter(seconds.values())))
    for name, measured in seconds.items():
        low, middle, high = statistics.quantiles(measured, n=4)
        spread = f"{count / high:,.0f}-{count / low:,.0f}"
        yield name, f"{count / middle:,.0f}", spread, f"{middle / base:.1f}"


def run(arguments: argparse.Namespace) -> int:
    """Prints a Markdown table; returns the exit status."""
    print("| side | batch | RandAugment of | images/s | middle half | mpl_tf is faster by |")
    print("|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for side in [arguments.side] if arguments.side else [32, 224]:
        count = arguments.batch or (256 if side <= 32 else 32)
        # Blocks of 4 pixels: noise alone would be unlike any photograph.
        blocks = rng.integers(0, 256, (count, -(-side // 4), -(-side // 4), 3))
        images = blocks.repeat(4, axis=1).repeat(4, axis=2)[:, :side, :side]
        images = images // 2 + rng.integers(0, 128, images.shape)
        batch = tf.constant(images.astype(np.uint8))
        for cells in rows(times(contenders(batch), arguments.rounds), count):
            print("|", " | ".join([str(side), str(count), *cells]), "|", flush=True)
    return 0
