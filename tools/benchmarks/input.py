"""Does the input pipeline keep up with the step? And does its memory stay where it is?"""

import argparse
import os
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf

from arguments import at_least
from mpl_tf import config, data
from mpl_tf.data import pipeline, views
from mpl_tf.runs.experiment import build, make_split
from mpl_tf.runs.folder import TRAIN

NAME = "input"
HELP = "batches a second against the step's appetite, at 32 and 224 pixels; memory over steps"


def define(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's arguments to an argparse parser."""
    parser.add_argument("--repeats", type=at_least(1), default=7, help="timings of each kind [7]")
    parser.add_argument(
        "--memory_steps", type=at_least(1), default=5000, help="steps watched [5000]"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints two Markdown tables; returns the exit status."""
    print("Medians of", arguments.repeats, "interleaved timings, seconds (least to greatest)\n")
    print("| images | batch | input alone | step alone | step / input |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for title, settings in _cases(folder):
            print(_row(title, settings, arguments.repeats), flush=True)
    print("\n| steps | resident memory, MiB |\n|---|---|")
    for step, size in _memory(arguments.memory_steps):
        print(f"| {step} | {size:.0f} |", flush=True)
    return 0


def _cases(folder):
    """(title, settings) of what is timed: images in memory, and JPEG files."""
    small, large = pathlib.Path(folder, "small"), pathlib.Path(folder, "large")
    _write_images(small, 32, 40, 400, "png")
    _write_images(large, 300, 8, 64, "jpg")
    yield (
        "32 px, in memory, wide_resnet_28_2",
        {
            "dataset": f"folder:{small}",
            "network": "wide_resnet_28_2",
            "labeled_batch": 16,
        },
    )
    yield (
        "224 px, JPEG files, keras:ResNet50",
        {
            "dataset": f"folder:{large}",
            "network": "keras:ResNet50",
            "image_size": 224,
            "labeled_batch": 2,
            "weak": "resized_crop",
        },
    )


def _write_images(folder, size, labeled, unlabeled, extension):
    generator = np.random.default_rng(0)
    encode = tf.io.encode_jpeg if extension == "jpg" else tf.io.encode_png

    def write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Smooth, as photographs are: noise would make JPEG slow.
        coarse = generator.integers(0, 256, [size // 8, size // 8, 3])
        image = tf.cast(tf.image.resize(coarse, [size, size]), tf.uint8)
        tf.io.write_file(str(path), encode(image))

    for i in range(labeled):
        write(folder / "labeled" / f"class{i % 2}" / f"{i}.{extension}")
    for i in range(unlabeled):
        write(folder / "unlabeled" / f"{i}.{extension}")


def _row(title, settings, repeats):
    made = config.make({"steps": 1000, "unlabeled_ratio": 7, "num_validation": 0, **settings})
    if made.data.image_size:
        from mpl_tf.data import stores

        stores.MEMORY_LIMIT = 0  # a pool too large for memory: decoded whenever it is read
    source = data.find(made.run.dataset).load(made.data)
    experiment = build(made, make_split(made, source), path="")
    batches = iter(experiment.batches(TRAIN, 0))
    step = tf.function(experiment.method.train_step, autograph=False)
    batch = next(batches)
    step(batch)
    for _ in range(20):
        next(batches)
    count = max(1, 64 // made.run.labeled_batch)
    times = {"input": [], "step": []}
    for _ in range(repeats):
        times["input"].append(_seconds(lambda: next(batches), count))
        times["step"].append(_seconds(lambda: step(batch), 2))
    middle = {name: statistics.median(seconds) for name, seconds in times.items()}
    cells = [
        f"{middle[name]:.4f} ({min(seconds):.4f} to {max(seconds):.4f})"
        for name, seconds in times.items()
    ]
    size = f"{made.run.labeled_batch} + {made.run.labeled_batch * made.run.unlabeled_ratio}"
    return f"| {title} | {size} | {' | '.join(cells)} | {middle['step'] / middle['input']:.1f} |"


def _seconds(work, count):
    start_time = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - start_time) / count


def _memory(steps):
    """(step, resident MiB) while batches of digits with RandAugment are read."""
    made = config.make({"strong": "randaugment", "weak": "crop", "num_labeled": 50})
    source = data.find("digits").load(made.data)
    policies, split = views.make(made.data, 8), make_split(made, source)
    batches = pipeline.training_batches(
        split.labeled,
        split.unlabeled,
        labeled_batch=32,
        unlabeled_batch=224,
        views=("weak", "strong"),
        weak=policies.weak,
        strong=policies.strong,
        seed=0,
    )
    for step, _ in enumerate(batches.take(steps), 1):
        if step in (steps // 10, steps // 2, steps):
            yield step, _resident()


def _resident():
    """MiB of memory this process holds."""
    if sys.platform == "linux":
        pages = int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    import resource  # the most it ever held

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
