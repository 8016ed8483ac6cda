"""How long do the three signatures of an export take, and how many images a second do they answer?

Measured in this process, through TensorFlow's SavedModel loader: what a server adds for transport
and queues is not in it. Files are JPEGs of --side pixels; decoding and resizing them is a part of
serving_bytes and classify.
"""

import argparse
import functools
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from arguments import at_least, local_path
from mpl_tf import networks
from mpl_tf.images import example
from mpl_tf.runs import folder as run_folder
from mpl_tf.serving import loading, saved_model

Request = tuple[str, int]  # signature, images

NAME = "serve"
HELP = "latency and throughput of an export's three signatures"


def define(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's arguments to an argparse parser."""

    parser.add_argument(
        "--model", type=local_path, help="an export or the folder of a run [an untrained network]"
    )
    parser.add_argument("--network", default="wide_resnet_28_2", help="that network [%(default)s]")
    parser.add_argument("--image_size", type=at_least(1), default=32, help="its images' side [32]")
    parser.add_argument("--side", type=at_least(1), default=256, help="the files' side [256]")
    parser.add_argument(
        "--batches", type=at_least(1), nargs="+", default=[1, 32], help="images a request [1 32]"
    )
    parser.add_argument("--rounds", type=at_least(2), default=20, help="requests of each kind [20]")


def run(arguments: argparse.Namespace) -> int:
    """Prints a Markdown table; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.model and saved_model.find(run_folder.exports_of(arguments.model))
        if not path:
            size = arguments.image_size
            network = networks.find(arguments.network)(10, (size, size, 3))
            path = saved_model.export(network, folder)
        requests = make_requests(path, arguments.side, arguments.batches)
        print(f"Of {arguments.rounds} interleaved requests each\n")
        print("| signature | images a request | median, ms | 90% within, ms | images/s |")
        print("|---|---|---|---|---|")
        for (name, batch), seconds in times(requests, arguments.rounds).items():
            print(row(name, batch, seconds), flush=True)
    return 0


def make_requests(
    path: str, side: int, batches: Iterable[int]
) -> dict[Request, Callable[[], dict[str, tf.Tensor]]]:
    """What is asked: dict of (signature, batch) -> function without arguments.

    Args:
      path: the folder of an export.
      side: side of the JPEG files in pixels.
      batches: sequence of int, images a request.
    """
    export = loading.load(path)
    generator = np.random.default_rng(0)
    # Smooth, as photographs are: noise would make JPEG slow.
    coarse = generator.integers(0, 256, [-(-side // 8), -(-side // 8), 3])
    file = tf.io.encode_jpeg(tf.cast(tf.image.resize(coarse, [side, side]), tf.uint8)).numpy()
    requests = {}
    for batch in batches:
        pixels = tf.constant(generator.integers(0, 256, [batch, *export.image_shape]), tf.uint8)
        inputs = {
            "serving_default": {"images": pixels},
            "serving_bytes": {"image_bytes": tf.constant([file] * batch)},
            "classify": {"inputs": tf.constant([example.serialize(file)] * batch)},
        }
        for name, tensors in inputs.items():
            if name in export.signatures:
                function = export.signatures[name]
                requests[name, batch] = functools.partial(function, **tensors)
    return requests


def times(
    requests: Mapping[Request, Callable[[], dict[str, tf.Tensor]]], rounds: int
) -> dict[Request, list[float]]:
    """Seconds of `rounds` calls each, interleaved, after two that are not timed: dict of lists."""
    seconds = {key: [] for key in requests}
    for turn, (key, ask) in itertools.product(range(rounds + 2), requests.items()):
        start_time = time.perf_counter()
        for value in ask().values():
            value.numpy()
        if turn >= 2:
            seconds[key].append(time.perf_counter() - start_time)
    return seconds


def row(name: str, batch: int, seconds: Sequence[float]) -> str:
    """A line of the table."""
    middle = statistics.median(seconds)
    slow = statistics.quantiles(seconds, n=10, method="inclusive")[-1]
    speed = batch / middle
    return f"| {name} | {batch} | {middle * 1e3:.1f} | {slow * 1e3:.1f} | {speed:,.0f} |"
