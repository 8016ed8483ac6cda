"""A folder of images to train on: `labeled/<class>/*`, `unlabeled/**` and further parts."""

import collections
import dataclasses
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from mpl_tf import console
from mpl_tf.images import decode, files
from mpl_tf.images.parts import PARTS
from mpl_tf.images.readable import Readable
from mpl_tf.options import ConfigError
from mpl_tf.paths import is_utf8

_NAMED = 10  # folders in a message, at most
LAYOUT = (
    "labeled/<class>/* and unlabeled/** (any nesting), and, if you have them, "
    f"validation/<class>/* and test/<class>/*; {', '.join(decode.EXTENSIONS)}"
)


@dataclasses.dataclass(frozen=True)
class ClassFolders:
    """The image files of a folder, by part and class.

    Attributes:
      path: the folder.
      class_names: the folders in `labeled`, or in the only part, sorted.
      parts: "labeled", "validation", "test" and "unlabeled", those that have images -> list of
        (file, class id), sorted by class and file; files are named relative to `path`; the id is
        -1 in "unlabeled".
      ignored: other files, also those beside the folders of classes: kind, in words -> number.
      digests: uint64 [N], of the content of the files, in the order of `parts`; None before they
        have been read.
    """

    path: str
    class_names: tuple[str, ...]
    parts: dict[str, list[tuple[str, int]]]
    ignored: Mapping[str, int]
    digests: np.ndarray | None = None

    def whole_path(self, file: str) -> str:
        """The path of one of the files."""
        return os.path.join(self.path, file)

    def readable(
        self,
        skip_broken: bool,
        progress: Callable[[Sequence[str]], Iterable[str]] = iter,
        cache_dir: str = "",
    ) -> tuple["ClassFolders", str]:
        """The same without the files that cannot be decoded, and what was left out, in words.

        Args:
          skip_broken, progress: as for `files.check_files`.
          cache_dir: folder in which is kept which files are readable, so that only those are
            decoded that have changed since; "" keeps nothing.

        Raises:
          ConfigError: a file is broken, and `skip_broken` is not set; or a class of `labeled` has
            no readable image.
        """
        entries = [(part, *entry) for part, images in self.parts.items() for entry in images]
        paths = [self.whole_path(file) for _, file, _ in entries]
        known = Readable(cache_dir, self.path) if cache_dir else None
        good, digests, left_out = files.check_files(paths, skip_broken, progress, known)
        parts: dict[str, list[tuple[str, int]]] = {}
        for part, file, label in (entries[i] for i in good):
            parts.setdefault(part, []).append((file, label))
        labels = {label for _, label in parts.get("labeled", ())}
        for label, name in enumerate(self.class_names):
            if "labeled" in self.parts and label not in labels:
                raise ConfigError(f"class {name!r} of {self.path}/labeled has no readable image.")
        return dataclasses.replace(self, parts=parts, digests=digests), left_out


def find(path: str) -> ClassFolders:
    """The image files of a folder.

    Raises:
      ConfigError: see `list_classes`; or a class of `validation` or `test` is not in `labeled`.
    """
    labeled, ignored = list_classes(path, "labeled")
    class_names = tuple(labeled)
    parts = {"labeled": _with_ids(labeled, class_names)}
    for part in PARTS[2:]:
        if not os.path.isdir(os.path.join(path, part)):
            continue
        classes, ignored_here = list_classes(path, part)
        ignored += ignored_here
        foreign = sorted(classes.keys() - labeled.keys())
        if foreign:
            raise ConfigError(
                f"{path}/{part} has classes that labeled does not have: {', '.join(foreign)}."
            )
        parts[part] = _with_ids(classes, class_names)
    listing = files.list_images(os.path.join(path, "unlabeled"))
    unlabeled = _relative(listing.images, path)
    parts["unlabeled"] = [(file, -1) for file in unlabeled]
    parts = {part: images for part, images in parts.items() if images}
    if others := _other_folders(path):
        kind = f"folders that are no part of a dataset ({', '.join(others)})"
        ignored += collections.Counter({kind: len(others)})
    return ClassFolders(path, class_names, parts, ignored + collections.Counter(listing.ignored))


def _other_folders(path):
    """Visible folders that nothing is read from, sorted: of other names than a dataset's parts."""
    names = {e.name for e in os.scandir(path) if e.is_dir() and not files.is_hidden(e.name)}
    return sorted(name for name in names - set(PARTS) if is_utf8(name))


def find_part(path: str, part: str) -> ClassFolders:
    """The image files of one part of a folder, which may hold nothing else, and their classes.

    Args:
      path: the folder.
      part: "labeled", "validation" or "test".

    Raises:
      ConfigError: see `list_classes`.
    """
    classes, ignored = list_classes(path, part)
    return ClassFolders(path, tuple(classes), {part: _with_ids(classes, tuple(classes))}, ignored)


def _relative(images, path):
    """Paths inside the folder `path`, sorted, of files that were listed from there."""
    folder = os.path.join(path, "")
    return sorted(image.removeprefix(folder) for image in images)


def _with_ids(classes, class_names):
    ids = {name: label for label, name in enumerate(class_names)}
    return [(file, ids[name]) for name, images in classes.items() for file in images]


def list_classes(path: str, part: str) -> tuple[dict[str, list[str]], collections.Counter[str]]:
    """The image files of `path`/`part`/<class>.

    Args:
      path: the folder of all parts.
      part: "labeled", "validation" or "test".

    Returns:
      (classes, ignored): name of a class, in Unicode's composed form -> its files at any depth,
      relative to `path`; both sorted; kind of other files, in words -> their number.

    Raises:
      ConfigError: there is no such folder, it has a class without an image file, or one whose name
        is no UTF-8 or comes twice, or `labeled` has fewer than two classes.
    """
    root = os.path.join(path, part)
    if not os.path.isdir(path):
        raise ConfigError(f"{path} is no folder; a folder of images must hold {LAYOUT}.")
    if not os.path.isdir(root):
        raise ConfigError(f"{path} has no folder {part}; it must hold {LAYOUT}.")
    everything = list(os.scandir(root))
    entries = [entry for entry in everything if not files.is_hidden(entry.name)]
    hidden = sorted(e.name for e in everything if files.is_hidden(e.name) and e.is_dir())
    folder_of = _class_folders(root, sorted(entry.name for entry in entries if entry.is_dir()))
    names = sorted(folder_of)
    if len(names) < 2 and part == "labeled":
        raise ConfigError(
            f"{root} must hold a folder for each of at least two classes; found "
            f"{', '.join(names) or 'none'}."
        )
    listings = {name: files.list_images(os.path.join(root, folder_of[name])) for name in names}
    empty = [
        name + (f" ({files.in_words(listing.ignored)})" if listing.ignored else "")
        for name, listing in listings.items()
        if not listing.images
    ]
    if empty:
        raise ConfigError(f"{root} has classes without an image: {', '.join(empty)}.")
    classes = {name: _relative(listing.images, path) for name, listing in listings.items()}
    ignored: collections.Counter[str] = collections.Counter()
    ignored["beside the folders of classes"] = len(entries) - len(names)
    if hidden:  # somebody may have meant a class
        named = ", ".join(map(console.printable, hidden[:_NAMED]))
        named += ", ..." if len(hidden) > _NAMED else ""
        ignored[f"folders of {part} that begin with a dot ({named})"] = len(hidden)
    for listing in listings.values():
        ignored.update(listing.ignored)
    return classes, +ignored


def _class_folders(root, folders):
    """Name of a class -> its folder. Some systems compose accents of two characters, others do not.

    Raises ConfigError: see `list_classes`.
    """
    folder_of: dict[str, str] = {}
    for folder in folders:
        if not is_utf8(folder):
            raise ConfigError(
                f"the folders of {root} must have names in UTF-8, for they are those of the "
                f"classes; received {folder!a}."
            )
        name = unicodedata.normalize("NFC", folder)
        if name in folder_of:
            raise ConfigError(f"{root} has two folders for class {name}, in two forms of Unicode.")
        folder_of[name] = folder
    return folder_of
