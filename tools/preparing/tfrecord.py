"""Packs a folder of images into TFRecord files, to be trained on with --dataset=tfrecord:OUT.

    python tools/prepare_data.py tfrecord FOLDER --to=OUT

FOLDER holds `labeled/<class>/*` and `unlabeled/**` at any depth, and may hold
`validation/<class>/*` and `test/<class>/*`: JPEG, PNG, BMP, GIF and WebP images. Every image is
decoded first; nothing is written if one of them is broken. Unlabeled images are shuffled, so that
neighbours have nothing in common. OUT is complete when `info.json` is there.
"""

import argparse
import concurrent.futures
import itertools
import os
import shlex
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from arguments import at_least, check_new, local_path, output_folder
from mpl_tf import console
from mpl_tf.options import ConfigError

if TYPE_CHECKING:  # imported when used: TensorFlow, which they import, is slow and loud
    from mpl_tf.data.sources.tfrecord_format import Shard
    from mpl_tf.images import class_folders

NAME = "tfrecord"
HELP = "pack a folder of images into TFRecord files"
_JPEG_QUALITY = 95
_SAMPLE = 64  # images that are re-encoded to guess the size of all


def define(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to an argparse parser."""
    parser.add_argument(
        "folder", type=local_path, metavar="FOLDER", help="folder of the images, as above"
    )
    parser.add_argument(
        "--to",
        type=output_folder,
        metavar="OUT",
        required=True,
        help="folder of the TFRecord files; empty or new",
    )
    parser.add_argument(
        "--shard_mb", type=at_least(1), default=128, metavar="N", help="MiB a file, about [128]"
    )
    parser.add_argument(
        "--image_size",
        type=at_least(1),
        metavar="N",
        help="shrink images whose shorter side has more than N pixels to squares of N: the middle, "
        f"JPEGs as JPEG of quality {_JPEG_QUALITY}, others as PNG [images stay as they are]",
    )
    parser.add_argument(
        "--skip_broken",
        action="store_true",
        help="count and leave out files that are no readable images",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command.

    Args:
      arguments: what `define` defines.

    Returns:
      The exit status, 0.

    Raises:
      ConfigError: see `find`; or OUT is not empty.
      OSError: OUT cannot be written.
    """
    from mpl_tf.data.sources import tfrecord_format, tfrecord_info

    out = arguments.to
    check_new("--to", out)
    readable = find(arguments.folder, arguments.skip_broken)
    os.makedirs(out, exist_ok=True)
    shards = []
    with concurrent.futures.ThreadPoolExecutor() as threads:
        for part in tfrecord_format.PARTS:
            images = [
                (readable.whole_path(file), label) for file, label in readable.parts.get(part, ())
            ]
            if not images:
                continue
            if part == "unlabeled":
                order = np.random.default_rng(0).permutation(len(images))
                images = [images[i] for i in order]
            shard_bytes, image_size = arguments.shard_mb << 20, arguments.image_size
            written = write(out, part, images, shard_bytes, image_size, threads)
            size = sum(shard.size for shard in written) / 2**20
            console.say(f"{part}: {len(images):,} images, {size:,.1f} MiB, files: {len(written)}")
            shards += written
    tfrecord_info.write(out, shards, readable.class_names)
    console.say(f"Train on it: python -m mpl_tf.train --dataset={shlex.quote(f'tfrecord:{out}')}")
    return 0


def find(folder: str, skip_broken: bool) -> "class_folders.ClassFolders":
    """Lists the images and decodes each of them once.

    Args:
      folder: as above.
      skip_broken: whether broken files are left out instead of refused.

    Raises:
      ConfigError: files are broken, and `skip_broken` is not set; or `labeled` or `unlabeled` is
        missing or has no image, or a class of `labeled` has none, or another part has a class that
        `labeled` has not.
    """
    from mpl_tf.images import class_folders, files

    listed = class_folders.find(folder)
    _check_unlabeled(listed, "image")
    if listed.ignored:
        console.say(f"Left out, as no images: {files.in_words(listed.ignored)}")
    readable, left_out = listed.readable(
        skip_broken, lambda paths: _counted(paths, len(paths), "checked")
    )
    if left_out:
        console.say(f"Left out {left_out}")
    _check_unlabeled(readable, "readable image")
    return readable


def _check_unlabeled(listed, what):
    if "unlabeled" not in listed.parts:
        raise ConfigError(f"{os.path.join(listed.path, 'unlabeled')} holds no {what}.")


def write(
    folder: str,
    part: str,
    images: Sequence[tuple[str, int]],
    shard_bytes: int,
    image_size: int | None,
    threads: concurrent.futures.Executor,
) -> "list[Shard]":
    """Writes the files of one part.

    Args:
      folder: the folder to write to.
      part: the beginning of the files' names.
      images: (path, class id or -1).
      shard_bytes: bytes a file, about.
      image_size: pixels, see `shrink`; None keeps all images as they are.
      threads: read and shrink images.

    Returns:
      What is known of each file.
    """
    from mpl_tf.data.sources import tfrecord_format
    from mpl_tf.images import check, example

    def load(image):
        content = check.read(image[0])
        return shrink(content, image_size) if image_size else content

    if image_size:
        sample = images[:: -(-len(images) // _SAMPLE)]
        size = sum(map(len, threads.map(load, sample))) / len(sample) * len(images)
    else:
        size = sum(os.path.getsize(path) for path, _ in images)
    count = min(len(images), max(1, -(-int(size) // shard_bytes)))
    progress, shards = _counted(images, len(images), f"{part}: written"), []
    edges = [len(images) * i // count for i in range(count + 1)]
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        chunk = list(itertools.islice(progress, high - low))
        labels = [label for _, label in chunk]
        contents = threads.map(load, chunk)
        path = os.path.join(folder, f"{part}-{i:05}-of-{count:05}.tfrecord")
        lengths = tfrecord_format.write(path, map(example.serialize, contents, labels))
        if part == "unlabeled":
            shards.append(tfrecord_format.Shard.of(path, lengths))
        else:
            shards.append(tfrecord_format.Shard.of(path, lengths, chunk_records=1))
    return shards


def shrink(content: bytes, size: int) -> bytes:
    """An image in the size of training.

    Args:
      content: the encoded image.
      size: pixels.

    Returns:
      `content` itself if its shorter side has no more than `size` pixels, else the middle
      square, resized as in training, encoded again: JPEGs as JPEG without subsampled colours,
      others as PNG.
    """
    import tensorflow as tf

    from mpl_tf.images import decode, header

    image = decode.native(content)
    if min(image.shape[:2]) <= size:
        return content
    small = decode.fit(image, size)
    if header.sniff(content) == "jpeg":
        return tf.io.encode_jpeg(small, quality=_JPEG_QUALITY, chroma_downsampling=False).numpy()
    return tf.io.encode_png(small).numpy()


def _counted(items, total, what):
    """The same items; a line says now and then how many have passed."""
    terminal = sys.stdout.isatty()
    start = last_line = time.monotonic()
    for done, item in enumerate(items):
        time_now = time.monotonic()
        if time_now - last_line > (0.5 if terminal else 30):
            last_line = time_now
            rate = done / (time_now - start)
            line = f"{what} {done:,} of {total:,} images, {rate:,.0f} a second"
            print(line.ljust(70), end="\r" if terminal else "\n", flush=True)
        yield item
    if terminal:
        print(" " * 70, end="\r", flush=True)
