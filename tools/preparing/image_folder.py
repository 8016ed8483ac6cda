"""Makes a folder of images of raw files that are on this machine.

    python tools/prepare_data.py folder cifar10 --from=FOLDER --to=OUT

FOLDER holds the raw files, as for `tfds`. A seed draws `--train` of the training images, which lie
in OUT/labeled/<class>, and `--test` of the test images, in OUT/test/<class>: PNG files whose names
are their numbers in the raw files. `--image_size` has them resized, bicubic. OUT appears when it is
complete.
"""

import argparse
import os
import shlex
from collections.abc import Iterator

import numpy as np

from arguments import at_least, check_new, local_path, output_folder
from mpl_tf import console, files
from mpl_tf.options import ConfigError

NAME = "folder"
HELP = "make a folder of images of raw files"
_PARTS = {"train": "labeled", "test": "test"}


def define(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to an argparse parser."""
    parser.add_argument("name", metavar="NAME", help="of the set, as `tfds --help` lists them")
    parser.add_argument(
        "--from",
        type=local_path,
        dest="source",
        metavar="FOLDER",
        required=True,
        help="folder of the raw files",
    )
    parser.add_argument(
        "--to",
        type=output_folder,
        metavar="OUT",
        required=True,
        help="folder to make; empty or new",
    )
    for split, count in (("train", 6000), ("test", 2000)):
        parser.add_argument(
            f"--{split}",
            type=at_least(1),
            default=count,
            metavar="N",
            help=f"images of the {split} part [{count}]",
        )
    parser.add_argument(
        "--image_size",
        type=at_least(4),
        default=0,
        metavar="PIXELS",
        help="side of the images [as they come]",
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="which images are taken [0]"
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command.

    Args:
      arguments: what `define` defines.

    Returns:
      The exit status, 0.

    Raises:
      ConfigError: raw files are missing or not the published ones, there are fewer images than are
        asked for, a class would have none, or OUT is not empty.
      OSError: OUT cannot be written.
    """
    from preparing import raw_files

    raw_files.check_name(arguments.name)
    out = os.path.abspath(arguments.to)
    check_new("--to", out)
    counts = {"train": arguments.train, "test": arguments.test}
    write(arguments.name, arguments.source, out, counts, arguments.image_size, arguments.seed)
    for split, count in counts.items():
        console.say(f"{_PARTS[split]}: {count:,} images")
    console.say(f"Train on it: python -m mpl_tf.train --dataset={shlex.quote(f'folder:{out}')}")
    return 0


def write(
    name: str,
    source: str,
    out: str,
    counts: dict[str, int],
    side: int,
    seed: int,
    **known: dict,
) -> None:
    """Writes the folder.

    Args:
      name: a key of mpl_tf.data.sources.tfds_folder.RAW_FILES.
      source: the folder of the raw files, or the one above it.
      out: the folder to make.
      counts: split, "train" and "test" -> images that are drawn of it.
      side: of the images in pixels; 0 leaves them as they come.
      seed: of the draw.
      **known: `checksums` and `counts` of the raw files, as for `raw_readers.read`.

    Raises:
      ConfigError: as for `run`.
      OSError: as for `run`.
    """
    import PIL.Image
    import tensorflow_datasets as tfds

    from preparing import raw_readers

    raw = raw_readers.read(name, source, **known)
    names = raw.class_names.get("label") or tfds.builder(name).info.features["label"].names
    names = [str(each).replace("/", "-") for each in names]  # "T-shirt/top" is one folder
    splits = {split: raw.splits[split]() for split in counts}
    drawn = dict(_drawn({k: of["label"] for k, (_, of) in splits.items()}, counts, names, seed))
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with files.whole(out) as partial:
        for split, numbers in drawn.items():
            images, labels = splits[split]
            for number in numbers:
                pixels = images[number]
                image = PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
                if side:
                    image = image.resize((side, side), PIL.Image.Resampling.BICUBIC)
                folder = os.path.join(partial, _PARTS[split], names[labels["label"][number]])
                os.makedirs(folder, exist_ok=True)
                image.save(os.path.join(folder, f"{number:05d}.png"))


def _drawn(
    labels: dict[str, np.ndarray], counts: dict[str, int], names: list[str], seed: int
) -> Iterator[tuple[str, np.ndarray]]:
    """(split, numbers of the images that are drawn of it)."""
    rng = np.random.default_rng(seed)
    for split, count in counts.items():
        of_split = np.asarray(labels[split])
        if count > len(of_split):
            raise ConfigError(
                f"--{split} must be at most {len(of_split):,}, the images that there are; received "
                f"{count:,}."
            )
        numbers = rng.permutation(len(of_split))[:count]
        missing = np.setdiff1d(of_split, of_split[numbers])
        if split == "train" and missing.size:
            raise ConfigError(
                f"none of the {count:,} images of --train would be of class {names[missing[0]]}: "
                "--train must be greater, or --seed another one."
            )
        yield split, numbers
