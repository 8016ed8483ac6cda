"""Builds a folder of TensorFlow Datasets from raw files that are on this machine.

    python tools/prepare_data.py tfds cifar10 --from=FOLDER

FOLDER holds the files as their authors publish them, itself or one level down:

    cifar10         cifar-10-python.tar.gz, or what it unpacks to, or cifar-10-binary.tar.gz
    cifar100        the same three of CIFAR-100
    svhn_cropped    train_32x32.mat, test_32x32.mat and, for the split `extra`, extra_32x32.mat
    mnist, fashion_mnist, kmnist
                    train- and t10k-images-idx3-ubyte and -labels-idx1-ubyte, with or without .gz

Files are compared with their published checksums. `tfds.load(NAME, download=False)` then finds the
set under its stock name and version, with the stock features.
"""

import argparse
import contextlib
import io
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from arguments import local_path
from mpl_tf import console, files
from mpl_tf.options import ConfigError

try:
    import fcntl
except ImportError:  # no Unix: folders of killed runs are not recognised
    fcntl = None

if TYPE_CHECKING:  # imported when used: TensorFlow, which it imports, is slow and loud
    from preparing.raw_readers import Raw

NAME = "tfds"
HELP = "build a TensorFlow Datasets folder from raw files"


def define(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to an argparse parser."""
    parser.add_argument("name", metavar="NAME", help="of the set, as listed above")
    parser.add_argument(
        "--from",
        type=local_path,
        dest="source",
        metavar="FOLDER",
        required=True,
        help="folder of the raw files",
    )
    parser.add_argument(
        "--data_dir",
        type=local_path,
        default="",
        metavar="DIR",
        help="folder of TensorFlow Datasets [$TFDS_DATA_DIR, else ~/tensorflow_datasets]",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a set that is there")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command.

    Args:
      arguments: what `define` defines.

    Returns:
      The exit status, 0.

    Raises:
      ConfigError: see `build`.
    """
    from mpl_tf.data.sources import tfds_folder
    from preparing import raw_files

    raw_files.check_name(arguments.name)
    root = tfds_folder.data_dir(arguments.data_dir)
    folder, written = build(arguments.name, arguments.source, root, arguments.overwrite)
    console.say(
        f"{'Wrote' if written else 'Left alone, as it is there already:'} {folder}\n"
        f"{contents(folder)}"
    )
    if not written:
        console.say("--overwrite replaces it.")
    flag = tfds_folder.data_dir_flag(root)
    console.say(f"Train on it: python -m mpl_tf.train --dataset={arguments.name}{flag}")
    return 0


def contents(folder: pathlib.Path) -> str:
    """Splits, counts and size of a prepared set, in words."""
    import tensorflow_datasets as tfds

    splits = tfds.builder_from_directory(folder).info.splits
    size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
    return ", ".join(f"{k}: {v.num_examples:,} images" for k, v in splits.items()) + (
        f"; {size:,.1f} MiB."
    )


def build(
    name: str,
    source: str | pathlib.Path,
    root: pathlib.Path,
    overwrite: bool = False,
    checksums: Mapping[str, tuple[str, str]] | None = None,
    counts: Mapping[str, int] | None = None,
) -> tuple[pathlib.Path, bool]:
    """Builds a set, unless it is there.

    Everything is written to a folder `incomplete.*` beside the set's own and renamed at the end. An
    error, Ctrl-C and SIGTERM remove that folder; the next run removes what a harder end left.

    Args:
      name: a key of mpl_tf.data.sources.tfds_folder.RAW_FILES.
      source: the folder of the raw files, or the one above it.
      root: the folder of TensorFlow Datasets; it is made if need be.
      overwrite: whether to replace a set that is there.
      checksums: file name -> (algorithm, digest); None for the published ones.
      counts: split -> images in it; None for those of the published files.

    Returns:
      (the version's folder, whether this call has written it).

    Raises:
      ConfigError: raw files are missing, are not the published ones or cannot be read, something
        that is no prepared set is in the place, or the set cannot be written.
    """
    import tensorflow_datasets as tfds

    from mpl_tf.data.sources import tfds_folder
    from preparing import raw_readers

    version = str(tfds.builder_cls(name).VERSION)
    final = root / name / version
    if final.exists() and not overwrite:
        if tfds_folder.find(f"{name}:{version}", root) is None:
            raise ConfigError(f"{final} is there but is no prepared set; --overwrite replaces it.")
        return final, False
    raw = raw_readers.read(name, source, checksums, counts)
    for file in tfds_folder.OPTIONAL_FILES.get(name, ()):
        split = file.partition("_")[0]
        if split not in raw.splits:
            console.say(f"There is no {file}: the split {split} is left out.")
    with workspace(root, name) as stage:
        ready = generate(name, raw, stage)
        final.parent.mkdir(exist_ok=True)
        if final.exists() and not overwrite:  # another run was faster
            return final, False
        with files.whole(os.fspath(final), os.fspath(stage / "ready")) as partial:
            ready.rename(partial)
    return final, True


def generate(name: str, raw: "Raw", stage: pathlib.Path) -> pathlib.Path:
    """Writes a set with TFDS's own writer.

    Args:
      name: of a registered builder.
      raw: the set.
      stage: a TFDS folder for this set alone.

    Returns:
      The version's folder.

    Raises:
      ConfigError: it cannot be written.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=os.fspath(stage))
    for feature, names in raw.class_names.items():
        builder.info.features[feature].names = names
    # The registered builder, so that name, version, features and citation are the stock ones; only
    # the method that every builder overrides to find its examples is another one here.
    builder._split_generators = lambda manager: raw.examples()
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it would name the folder of the stage
            builder.download_and_prepare(
                download_dir=os.fspath(stage / "downloads"),
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
    except Exception as error:  # of a full disk, for one, TFDS makes a RuntimeError
        raise ConfigError(f"{name} cannot be written to {stage.parent}: {error}") from error
    return pathlib.Path(builder.data_dir)


@contextlib.contextmanager
def workspace(root: pathlib.Path, name: str) -> Iterator[pathlib.Path]:
    """A fresh folder in `root`, locked while it is in use and removed at the end."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{root} cannot be made a folder: {error.strerror}.") from error
    for leftover in root.glob(f"incomplete.{name}.*"):
        handle = lock(leftover, wait=False)
        if handle is not None:  # no process works there
            shutil.rmtree(leftover, ignore_errors=True)
            os.close(handle)
    handle = None
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"incomplete.{name}.", dir=root))
    try:
        handle = lock(folder, wait=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def lock(folder: pathlib.Path, wait: bool) -> int | None:
    """A descriptor that holds the folder's lock until it is closed; None if it is not to be had."""
    if fcntl is None:
        return None
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
