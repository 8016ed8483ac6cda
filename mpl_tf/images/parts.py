"""The parts of a folder of images, in which nothing else is written."""

import os

from mpl_tf.options import ConfigError

PARTS = ("labeled", "unlabeled", "validation", "test")


def check_outside(name: str, path: str, dataset: str) -> None:
    """Refuses to write into the images: pictures there would be images of the next start.

    Args:
      name: of the setting, for the message.
      path: what is written, a file or a folder; it need not be there. "" is nothing.
      dataset: as `--dataset` takes it; all but `folder:PATH` is let pass.

    Raises:
      ConfigError: it lies in a part of the folder.
    """
    prefix, _, folder = dataset.partition(":")
    if prefix != "folder" or not folder or not path:
        return
    real = os.path.realpath(os.path.expanduser(path))
    for part in PARTS:
        root = os.path.realpath(os.path.join(os.path.expanduser(folder), part))
        if os.path.join(real, "").startswith(os.path.join(root, "")):
            raise ConfigError(
                f"{name} {path} lies in the images, of which {root} is a part: what is written "
                f"there would be read as images. Choose a folder beside {part}, or elsewhere."
            )
