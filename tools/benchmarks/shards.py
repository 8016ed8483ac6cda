"""Which share of TFRecord shards does each of several workers read?"""

import argparse
import itertools
import pathlib
import sys
import tempfile

import numpy as np

from arguments import at_least
from mpl_tf.data.sources import tfrecord_format
from mpl_tf.data.sources.tfrecord_stream import Stream
from mpl_tf.images import example
from mpl_tf.options import ConfigError

NAME = "shards"
HELP = "the share of TFRecord shards that each of 1, 2, 4, 8 and 16 workers reads (Linux)"
_FILES, _WORKERS = 8, (1, 2, 4, 8, 16)
_EPOCHS = 4  # so that what is read ahead of the last batch counts little


def define(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's arguments to an argparse parser."""
    parser.add_argument(
        "--records", type=at_least(1000), default=131_072, help="in all files [%(default)s]"
    )
    parser.add_argument(
        "--size", type=at_least(1), default=3000, help="bytes of an image's file [%(default)s]"
    )
    parser.add_argument(
        "--batch", type=at_least(16), default=512, help="of all workers [%(default)s]"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints a Markdown table; returns the exit status."""
    if sys.platform != "linux":
        raise ConfigError("shards needs Linux, which counts the bytes that a process reads.")
    if arguments.batch % _WORKERS[-1]:
        raise ConfigError(
            f"--batch must be a multiple of {_WORKERS[-1]}; received {arguments.batch}."
        )
    steps = _EPOCHS * arguments.records // arguments.batch
    print("| workers | bytes that each reads, of what one reads |")
    print("|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        stream, read = Stream(_write(folder, arguments.records, arguments.size)), {}
        for workers in _WORKERS:
            rows = (0, arguments.batch // workers)
            before = _bytes_read()
            data = stream.batches(arguments.batch, seed=0, stream=0, rows=rows)
            for _ in itertools.islice(data, steps):
                pass
            del data
            read[workers] = _bytes_read() - before
            print(f"| {workers} | {read[workers] / read[1]:.2f} |", flush=True)
    return 0


def _write(folder, records, size):
    """Shards of records without an image in them, of random bytes."""
    generator, shards = np.random.default_rng(0), []
    for number, part in enumerate(np.array_split(np.arange(records), _FILES)):
        path = str(pathlib.Path(folder) / f"unlabeled-{number:05}-of-{_FILES:05}.tfrecord")
        examples = (example.serialize(generator.bytes(size), -1) for _ in part)
        shards.append(tfrecord_format.Shard.of(path, tfrecord_format.write(path, examples)))
    return shards


def _bytes_read():
    """What this process has asked the system for."""
    (line,) = (
        line
        for line in pathlib.Path("/proc/self/io").read_text(encoding="ascii").splitlines()
        if line.startswith("rchar")
    )
    return int(line.split()[1])
