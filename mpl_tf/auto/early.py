"""What can be refused in a moment, before TensorFlow is imported; nothing here imports it."""

import os
import re

from mpl_tf import files
from mpl_tf.auto.ladder import JOURNAL
from mpl_tf.auto.options import AutoConfig
from mpl_tf.images.parts import check_outside
from mpl_tf.options import ConfigError, in_words
from mpl_tf.paths import local_path
from mpl_tf.runs import folder

# The folder in which the run of what is delivered lies.
RUN = "run"
# Names of datasets, which come before folders of the same name; a test holds them against the rest.
NAMED = frozenset(
    {
        "digits",
        "cifar10",
        "cifar100",
        "svhn_cropped",
        "fashion_mnist",
        "mnist",
        "stl10",
        "imagenet2012",
    }
)


def dataset(name: str) -> str:
    """A dataset's name; a folder that is no dataset stands for `folder:` and itself.

    Args:
      name: as the user writes it.

    Raises:
      ConfigError: there is none.
    """
    if not name:
        raise ConfigError(
            "--dataset must say which images, such as folder:my_images, or my_images alone."
        )
    is_path = os.sep in name or name.startswith((".", "~"))
    if ":" in name or name in NAMED or not (is_path or os.path.isdir(name)):
        return name
    return f"folder:{name}"


def no_folder(name: str) -> str:
    """What to say of a name that is neither a folder's nor a known dataset's; "" for others.

    >>> no_folder("digits"), no_folder("folder:cats")
    ('', '')
    """
    if ":" in name or name in NAMED or os.path.isdir(name):
        return ""
    return f"there is no folder {os.path.abspath(name)}, and no dataset of that name either: "


def as_text(images: str | os.PathLike[str]) -> str:
    """A dataset as `dataset` takes it.

    Args:
      images: its name, or a folder.

    Raises:
      ConfigError: it is something else, such as an array.
    """
    if isinstance(images, os.PathLike):
        return f"folder:{os.fspath(images)}"
    if not isinstance(images, str):
        raise ConfigError(
            "dataset must be a folder of images, or the name of a dataset; received "
            f"{in_words(images)}. Arrays are for mpl_tf.data.pair and the fit of a method."
        )
    return images


def workdir(options: AutoConfig) -> str:
    """The folder for what is found."""
    name = options.dataset
    path = os.path.abspath(os.path.expanduser(name.partition(":")[2] or name))
    return options.workdir or os.path.join("runs", f"auto-{os.path.basename(path)}")


def check(options: AutoConfig) -> None:
    """Refuses what cannot work: no folder of images, or a folder that cannot be written to.

    Args:
      options: checked by themselves.

    Raises:
      ConfigError: it cannot.
    """
    prefix, _, path = dataset(options.dataset).partition(":")
    if prefix == "folder":
        _check_images(local_path("folder", path))
    if re.match("(?i)file:", options.network):
        path = os.path.expanduser(options.network.partition(":")[2])
        if not os.path.isfile(path):
            raise ConfigError(f"network=file:{path} is no file.")
    for output, at in (("workdir", workdir(options)), ("cache_dir", options.cache_dir)):
        check_outside(output, at, dataset(options.dataset))
    check_workdir(workdir(options))


def _check_images(path: str) -> None:
    lacks = ""
    if not os.path.isdir(path):
        lacks = "is no folder"
    elif not os.path.isdir(os.path.join(path, "labeled")):
        lacks = "has no folder labeled"
    if lacks:
        raise ConfigError(
            f"{path} {lacks}; a folder of images must hold labeled/<class>/* and unlabeled/** (any "
            "nesting), and may hold validation/<class>/* and test/<class>/*."
        )


def check_workdir(path: str) -> None:
    """Refuses a folder that holds something else than what this command writes.

    Args:
      path: the folder, which need not be there.

    Raises:
      ConfigError: it does, or cannot be written, or another process is busy in it.
    """
    files.check_folder(path)
    there = os.listdir(path) if os.path.isdir(path) else []
    if JOURNAL not in there and (others := sorted(set(there) - {folder.LOCK})):
        raise ConfigError(
            f"{path} has no {JOURNAL} and holds something else ({', '.join(others[:3])}); choose "
            "another --workdir."
        )
    if folder.LOCK in there:
        with folder.lock(path):  # refused now, not after the images are read
            pass
    run = os.path.join(path, RUN)
    if os.path.lexists(run) and not folder.is_run(run):
        folder.state(run, {})  # refuses what is no run
