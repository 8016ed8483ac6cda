"""How long does a run on a folder of very many small files take to start, and what does it hold?"""

import argparse
import concurrent.futures
import multiprocessing
import os
import pathlib
import struct
import sys
import tempfile
import time
import zlib

import numpy as np

from arguments import at_least
from mpl_tf import config, data
from mpl_tf.data import duplicates, pipeline, views
from mpl_tf.data.dataset import Images
from mpl_tf.options import ConfigError
from mpl_tf.runs import provenance
from mpl_tf.runs.experiment import make_split

NAME = "folders"
HELP = "seconds and memory of the start on a folder, a file, from folders of two sizes"
_STAGES = ("list", "load", "split", "compare", "first batch")
_MILLION = 10**6


def define(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's arguments to an argparse parser."""
    parser.add_argument("--small", type=at_least(100), default=50_000, help="files [%(default)s]")
    parser.add_argument("--large", type=at_least(101), default=200_000, help="files [%(default)s]")
    parser.add_argument(
        "--image_size",
        type=at_least(1),
        default=128,
        help="pixels; of 128, more than 43,690 images are not held in memory [%(default)s]",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints a Markdown table and what a million files take; returns the exit status."""
    counts = arguments.small, arguments.large
    if counts[0] >= counts[1]:
        raise ConfigError(
            f"--large must be more than --small; received {counts[1]} and {counts[0]}."
        )
    print("Seconds; MiB beyond those of a process that has imported everything\n")
    print(f"| files | start | {' | '.join(_STAGES)} | all | MiB at most | MiB in the end |")
    print("|---|---|" + "---|" * (len(_STAGES) + 3))
    totals: dict[str, list[np.ndarray]] = {"first": [], "again": []}
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            images = os.path.join(folder, str(count))
            _write(pathlib.Path(images), count)
            for start, found in totals.items():
                figures = _in_a_process(images, f"{images}.work", arguments.image_size)
                found.append(np.array([sum(figures[: len(_STAGES)]), *figures[len(_STAGES) :]]))
                cells = [f"{s:.2f}" for s in (*figures[: len(_STAGES)], found[-1][0])]
                cells += [f"{m:.0f}" for m in found[-1][1:]]
                print(f"| {count:,} | {start} | {' | '.join(cells)} |", flush=True)
    print("\n| start | seconds for 1,000,000 files | bytes a file at most | in the end |")
    print("|---|---|---|---|")
    for start, (small, large) in totals.items():
        each = (large - small) / (counts[1] - counts[0])
        seconds = large[0] + each[0] * (_MILLION - counts[1])
        peak, held = each[1:] * 2**20
        print(f"| {start} | {seconds:.0f} | {peak:.0f} | {held:.0f} |")
    return 0


def _write(folder, count):
    """Different PNGs of 8 x 8 pixels: a fiftieth labeled, of ten classes."""
    generator = np.random.default_rng(0)
    for number in range(count):
        part = f"labeled/{number % 10}" if number < count // 50 else f"unlabeled/{number // 1000}"
        place = folder / part
        place.mkdir(parents=True, exist_ok=True)
        (place / f"image_{number:07}.png").write_bytes(_png(generator.bytes(8 * 8 * 3)))


def _png(pixels):
    """A PNG of 8 x 8 pixels, 192 bytes of them; TensorFlow's own takes ten times as long."""
    rows = b"".join(b"\0" + pixels[at : at + 24] for at in range(0, 192, 24))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 1)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _in_a_process(images, work, size):
    """What `_start` gives, in a process of its own, whose memory nothing else was in."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(_start, images, work, size).result()


def _start(images, work, size):
    """[seconds of each of _STAGES, MiB at most, MiB in the end] of the start of a run."""
    before, moments = _memory("VmRSS"), [time.perf_counter()]

    def done():
        moments.append(time.perf_counter())

    settings = config.make(
        {"dataset": f"folder:{images}", "image_size": size, "method": "fixmatch", "cache_dir": work}
    )
    done()
    source = data.find(settings.run.dataset).load(settings.data)
    done()
    split = make_split(settings, source)
    done()
    contents = source.contents()
    parts = {part: c for part, c in contents.items() if isinstance(getattr(source, part), Images)}
    duplicates.leaks(parts)
    os.makedirs(work, exist_ok=True)
    provenance.check_images(work, contents, split)
    provenance.keep_images(work, contents, split)
    done()
    policies = views.make(settings.data, size)
    batches = pipeline.training_batches(
        split.labeled,
        split.unlabeled,
        labeled_batch=8,
        unlabeled_batch=56,
        views=("weak",),
        weak=policies.weak,
        strong=policies.strong,
        seed=0,
    )
    next(iter(batches))
    done()
    memory = _memory("VmHWM") - before, _memory("VmRSS") - before
    return [*np.diff(moments).tolist(), *memory]


def _memory(entry):
    """MiB of this process, as Linux says: VmRSS, now, or VmHWM, at most; elsewhere at most."""
    if sys.platform == "linux":
        lines = pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        (line,) = (line for line in lines if line.startswith(entry))
        return int(line.split()[1]) / 2**10
    import resource  # not on Windows

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
