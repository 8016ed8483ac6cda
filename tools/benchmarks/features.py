"""What does caching features cost beside the backbone's passes? And a batch of cached ones?"""

import argparse
import statistics
import tempfile
import time

import numpy as np
import tensorflow as tf
import tqdm

from arguments import at_least
from mpl_tf import networks
from mpl_tf.augment import policies, randaugment
from mpl_tf.data import arrays, pipeline
from mpl_tf.features import batches, compute
from mpl_tf.features.cache import Cache
from mpl_tf.features.options import FeatureConfig
from mpl_tf.features.tables import Features
from mpl_tf.features.views import CHUNK, STRONG, WEAK, view_sets
from mpl_tf.networks import parts

NAME = "features"
HELP = "caching against the backbone's bare passes, in images a second; a batch of cached features"


def define(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's arguments to an argparse parser."""
    parser.add_argument("--network", default="keras:MobileNetV2", help="of two parts [%(default)s]")
    parser.add_argument("--image_size", type=at_least(1), default=96, help="pixels [%(default)s]")
    parser.add_argument(
        "--chunks", type=at_least(1), default=16, help=f"times {CHUNK} images [%(default)s]"
    )
    parser.add_argument(
        "--repeats", type=at_least(1), default=7, help="timings of each sort [%(default)s]"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints two Markdown tables; returns the exit status."""
    size, count = arguments.image_size, CHUNK * arguments.chunks
    network = networks.find(arguments.network)(10, (size, size, 3))
    backbone = parts.backbone(network)
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, [count, size, size, 3], np.uint8)
    images = arrays.arrays(pixels, generator.integers(0, 10, count))
    weak = policies.Crop()
    sets = view_sets(FeatureConfig(), weak, policies.Strong(weak, randaugment.RandAugment()))
    bare, chunk = compute.forward(backbone), tf.constant(pixels[:CHUNK])
    print(f"{arguments.network}, {size} pixels, batches of {CHUNK}: medians of", end=" ")
    print(f"{arguments.repeats} interleaved timings, images a second (least to greatest)\n")
    print("| views | bare passes | caching | seconds of caching / of bare passes |")
    print("|---|---|---|---|")
    for name in (WEAK, STRONG):
        passes = count * sets[name].count
        seconds = {"bare": [], "caching": []}
        for repeat in range(arguments.repeats + 1):  # the first one traces
            with tempfile.TemporaryDirectory() as folder, tqdm.tqdm(disable=True) as bar:
                start = time.perf_counter()
                shape = count, sets[name].count, backbone.output_shape[-1]
                cache = Cache(folder, {}, shape, "float16", CHUNK)
                compute.fill(cache, images, sets[name], bare, range(arguments.chunks), bar)
                caching = time.perf_counter() - start
            start = time.perf_counter()
            for _ in range(passes // CHUNK):
                bare(chunk).numpy()
            if repeat:
                seconds["caching"].append(caching)
                seconds["bare"].append(time.perf_counter() - start)
        rates = " | ".join(_rates(passes, each) for each in seconds.values())
        ratios = [c / b for c, b in zip(seconds["caching"], seconds["bare"], strict=True)]
        print(f"| {name} | {rates} | {_spread(ratios, 2)} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        features = Features(backbone, {"all": images}, sets, folder)
        features.prepare([(WEAK, images)])
        print("\n| a batch of cached features | milliseconds |\n|---|---|")
        print(f"| 64 labeled and 448 unlabeled | {_spread(_batch_times(features, images), 2)} |")
    return 0


def _batch_times(features, images):
    """Milliseconds of a batch, in ten rounds."""
    view = batches.CachedView(features, features.view_set(WEAK))
    rows = batches.rows(features, images)
    data = pipeline.training_batches(
        rows,
        rows,
        labeled_batch=64,
        unlabeled_batch=448,
        views=("weak",),
        weak=view,
        strong=view,
        seed=0,
    )
    iterator, times = iter(data), []
    for _ in range(11):
        start = time.perf_counter()
        for _ in range(20):
            next(iterator)
        times.append(1000 * (time.perf_counter() - start) / 20)
    return times[1:]


def _rates(passes, seconds):
    return _spread([passes / each for each in seconds], 0)


def _spread(values, digits):
    return (
        f"{statistics.median(values):.{digits}f} "
        f"({min(values):.{digits}f} to {max(values):.{digits}f})"
    )
