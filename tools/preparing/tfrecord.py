"""Packs a folder of images into TFRecord files, to be trained on with --dataset=tfrecord:OUT.

    python tools/prepare_data.py tfrecord FOLDER --to=OUT

FOLDER holds `labeled/<class>/*` and `unlabeled/**` at any depth, and may hold
`validation/<class>/*` and `test/<class>/*`: JPEG, PNG, BMP and GIF images. Every image is decoded
first; nothing is written if one of them is broken. Unlabeled images are shuffled, so that
neighbours have nothing in common. OUT is complete when `info.json` is there.
"""

import argparse
import concurrent.futures
import itertools
import os
import sys
import time

import numpy as np

from mpl_tf import console
from mpl_tf.options import ConfigError

NAME = "tfrecord"
HELP = "pack a folder of images into TFRecord files"
_JPEG_QUALITY = 95
_SAMPLE = 64  # images that are re-encoded to guess the size of all


def define(parser):
    """Adds the command's arguments to an argparse parser."""
    parser.add_argument("folder", metavar="FOLDER", help="folder of the images, as above")
    parser.add_argument(
        "--to", metavar="OUT", required=True, help="folder of the TFRecord files; empty or new"
    )
    parser.add_argument(
        "--shard_mb", type=_positive, default=128, metavar="N", help="MiB a file, about [128]"
    )
    parser.add_argument(
        "--image_size",
        type=_positive,
        metavar="N",
        help="shrink images whose shorter side has more than N pixels to squares of N: the middle, "
        f"JPEGs as JPEG of quality {_JPEG_QUALITY}, others as PNG [images stay as they are]",
    )
    parser.add_argument(
        "--skip_broken",
        action="store_true",
        help="count and leave out files that are no readable images",
    )


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; received {text}")
    return value


def run(arguments):
    """Runs the command.

    Args:
      arguments: namespace with what `define` defines.

    Returns:
      int, 0.

    Raises:
      ConfigError: see `find` and `check`; or OUT is not empty.
      OSError: OUT cannot be written.
    """
    console.start(sys.argv)  # first, because it imports TensorFlow without its messages
    from mpl_tf.data.sources import tfrecord_format

    out = arguments.to
    if os.path.exists(out) and (not os.path.isdir(out) or os.listdir(out)):
        raise ConfigError(f"--to must be an empty or a new folder; {out} is there already.")
    parts, class_names = find(arguments.folder)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        parts = check(parts, arguments.skip_broken, threads)
        for label in set(range(len(class_names))) - {label for _, label in parts["labeled"]}:
            raise ConfigError(f"class {class_names[label]} of labeled has no readable image.")
        order = np.random.default_rng(0).permutation(len(parts["unlabeled"]))
        parts["unlabeled"] = [parts["unlabeled"][i] for i in order]
        os.makedirs(out, exist_ok=True)
        shards = []
        for part, images in parts.items():
            shard_bytes, image_size = arguments.shard_mb << 20, arguments.image_size
            written = write(out, part, images, shard_bytes, image_size, threads)
            size = sum(shard.size for shard in written) / 2**20
            console.say(f"{part}: {len(images):,} images, {size:,.1f} MiB, files: {len(written)}")
            shards += written
    tfrecord_format.write_info(out, shards, class_names)
    console.say(f"Train on it: python -m mpl_tf.train --dataset=tfrecord:{out}")
    return 0


def find(folder):
    """Lists the images.

    Args:
      folder: str.

    Returns:
      (parts, class_names): dict of part -> list of (path, class id or -1), sorted; tuple of str,
      the folders in `labeled`, sorted.

    Raises:
      ConfigError: a part is missing or has no image, or a class is not in `labeled`.
    """
    parts, ignored, class_names = {}, 0, ()
    for part in ("labeled", "unlabeled", "validation", "test"):
        root = os.path.join(folder, part)
        if not os.path.isdir(root):
            if part in ("labeled", "unlabeled"):
                raise ConfigError(
                    f"{root} is no folder; FOLDER must hold labeled/<class>/* and unlabeled/**."
                )
            continue
        if part == "unlabeled":
            paths, others = _images(root)
            parts[part] = [(path, -1) for path in paths]
            ignored += others
        else:
            inside = [entry for entry in os.scandir(root) if entry.name[0] != "."]
            names = sorted(entry.name for entry in inside if entry.is_dir())
            ignored += len(inside) - len(names)
            class_names = class_names or tuple(names)
            parts[part] = []
            for name in names:
                if name not in class_names:
                    raise ConfigError(f"{root} has a class that labeled does not have: {name}.")
                paths, others = _images(os.path.join(root, name))
                parts[part] += [(path, class_names.index(name)) for path in paths]
                ignored += others
                if not paths:
                    raise ConfigError(f"{os.path.join(root, name)} holds no image.")
        if not parts[part]:
            raise ConfigError(f"{root} holds no image.")
    if ignored:
        console.say(
            f"Ignored {ignored:,} files that do not end like a JPEG, PNG, BMP or GIF image, or lie "
            "beside the folders of classes."
        )
    return parts, class_names


def _images(root):
    """(sorted paths of images at any depth, number of other files)."""
    from mpl_tf.images import decode

    images, others = [], 0
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name[0] != "."]
        for name in files:
            if name.lower().endswith(decode.EXTENSIONS) and name[0] != ".":
                images.append(os.path.join(place, name))
            else:
                others += 1
    return sorted(images), others


def check(parts, skip_broken, threads):
    """Decodes every image.

    Args:
      parts: see `find`.
      skip_broken: bool, whether broken files are left out instead of refused.
      threads: concurrent.futures.Executor.

    Returns:
      The parts without the broken files.

    Raises:
      ConfigError: files are broken, and `skip_broken` is not set; the first 20 are named.
    """
    from mpl_tf.images import decode

    total = sum(map(len, parts.values()))
    every = _counted((image for images in parts.values() for image in images), total, "checked")
    broken = {}
    while some := list(itertools.islice(every, 4096)):
        paths = [path for path, _ in some]
        for path, reason in zip(paths, threads.map(decode.verify, paths), strict=True):
            if reason:
                broken[path] = reason
    named = "; ".join(f"{path} {broken[path]}" for path in list(broken)[:20])
    if broken and not skip_broken:
        raise ConfigError(
            f"{len(broken)} of {total} files are no readable images; remove them, or leave them "
            f"out with --skip_broken: {named}"
        )
    if broken:
        console.say(f"Left out {len(broken):,} of {total:,} files: {named}")
    kept = {
        part: [pair for pair in images if pair[0] not in broken] for part, images in parts.items()
    }
    for part, images in kept.items():
        if not images:
            raise ConfigError(f"no image of {part} is readable.")
    return kept


def write(folder, part, images, shard_bytes, image_size, threads):
    """Writes the files of one part.

    Args:
      folder: str.
      part: str, the beginning of their names.
      images: list of (path, class id or -1).
      shard_bytes: int, bytes a file, about.
      image_size: int, see `shrink`; None keeps all images as they are.
      threads: concurrent.futures.Executor.

    Returns:
      list of mpl_tf.data.sources.tfrecord_format.Shard.
    """
    from mpl_tf.data.sources import tfrecord_format
    from mpl_tf.images import example

    def load(image):
        with open(image[0], "rb") as file:
            content = file.read()
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
        some = list(itertools.islice(progress, high - low))
        labels = np.array([label for _, label in some], np.int64)
        contents = threads.map(load, some)
        path = os.path.join(folder, f"{part}-{i:05}-of-{count:05}.tfrecord")
        lengths = tfrecord_format.write(path, map(example.serialize, contents, labels.tolist()))
        if part == "unlabeled":
            shards.append(tfrecord_format.Shard.of(path, lengths))
        else:
            shards.append(tfrecord_format.Shard.of(path, lengths, labels, chunk_records=1))
    return shards


def shrink(content, size):
    """An image in the size of training.

    Args:
      content: bytes, the encoded image.
      size: int, pixels.

    Returns:
      bytes: `content` itself if its shorter side has no more than `size` pixels, else the middle
      square, resized as in training, encoded again: JPEGs as JPEG without subsampled colours,
      others as PNG.
    """
    import tensorflow as tf

    from mpl_tf.images import decode

    image = decode.native(content)
    if min(image.shape[:2]) <= size:
        return content
    small = decode.fit(image, size)
    if decode.sniff(content) == "jpeg":
        return tf.io.encode_jpeg(small, quality=_JPEG_QUALITY, chroma_downsampling=False).numpy()
    return tf.io.encode_png(small).numpy()


def _counted(items, total, what):
    """The same items; a line says now and then how many have passed."""
    terminal = sys.stdout.isatty()
    began = shown = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - shown > (0.5 if terminal else 30):
            shown = now
            rate = done / (now - began)
            line = f"{what} {done:,} of {total:,} images, {rate:,.0f} a second"
            print(line.ljust(70), end="\r" if terminal else "\n", flush=True)
        yield item
    if terminal:
        print(" " * 70, end="\r", flush=True)
