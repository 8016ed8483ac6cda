"""The list of a selection: a file that people read, and may take rows from.

`about.json` is written last and removed before the list is replaced: a list without it is not
finished.
"""

import csv
import itertools
import os
import re
import reprlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, TypedDict

import numpy as np

from mpl_tf import console, files
from mpl_tf.options import ConfigError
from mpl_tf.pools.selection import Pairs

LIST, ABOUT = "selection.csv", "about.json"
COLUMNS = ("class", "confidence", "position", "content", "file")
_NAMED_AT_ONCE, _NAMED = 1 << 16, 10
_POSITION, _CONTENT = re.compile("[0-9]{1,18}"), re.compile("[0-9a-fA-F]{1,16}")


class About(TypedDict):
    """What `about.json` of a selection holds.

    Attributes:
      model, images, dataset, class_names: of the predictions; see `predictions.About`.
      predictions: where these lay.
      per_class, candidates: as they were asked for.
      number_of_pairs: rows of the list.
      left_out: images of the pool that are held out for validation or test, too.
    """

    model: str
    images: str
    dataset: str
    class_names: list[str]
    predictions: str
    per_class: int
    candidates: int
    number_of_pairs: int
    left_out: int


def is_one(path: str) -> bool:
    """Whether a folder may become a selection's: it has one, or nothing; perhaps half of a list."""
    present = set(os.listdir(path)) if os.path.isdir(path) else set()
    return LIST in present or present <= {files.partial_name(LIST)}


def write(
    path: str, about: About, pairs: Pairs, names: Callable[[np.ndarray], Sequence[str]]
) -> None:
    """Writes a selection to a folder, which is made.

    Args:
      path: the folder.
      about: of the selection.
      pairs: what was chosen.
      names: positions int64 [n] -> what the images are called.

    Raises:
      OSError: it cannot be written.
    """
    os.makedirs(path, exist_ok=True)
    with (
        files.whole(os.path.join(path, LIST)) as partial,
        open(partial, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        file.write(files.csv_line(COLUMNS) + "\n")
        for first in range(0, len(pairs), _NAMED_AT_ONCE):
            part = pairs.take(np.arange(first, min(first + _NAMED_AT_ONCE, len(pairs))))
            of_part = names(part.positions)
            file.writelines(
                files.csv_line(
                    (about["class_names"][k], f"{confidence:.4g}", position, f"{digest:016x}", name)
                )
                + "\n"
                for k, confidence, position, digest, name in zip(
                    part.classes.tolist(),
                    part.confidences.tolist(),
                    part.positions.tolist(),
                    part.digests.tolist(),
                    of_part,
                    strict=True,
                )
            )
        file.close()
        files.remove(os.path.join(path, ABOUT))  # which tells of the list that is replaced now
        files.sync(path)
    files.write_json(os.path.join(path, ABOUT), about)


def read(path: str) -> tuple[About, Pairs]:
    """A selection; rows may have been removed from its list.

    Args:
      path: the folder.

    Raises:
      ConfigError: there is none, it is not finished, or a row is damaged or there twice.
    """
    if not os.path.isfile(os.path.join(path, ABOUT)):
        raise ConfigError(
            f"{path} has no selection, or an unfinished one: there is no {ABOUT}. `python -m "
            "mpl_tf.select --predictions=FOLDER --to=FOLDER` makes one."
        )
    about: About = files.read_json(os.path.join(path, ABOUT), About)
    ids = {name: k for k, name in enumerate(about["class_names"])}
    if len(ids) != len(about["class_names"]):
        raise ConfigError(f"{os.path.join(path, ABOUT)} is damaged: two classes have one name.")
    file = os.path.join(path, LIST)
    found = np.fromiter((row for _, row in _rows(file, ids)), _ROW)
    columns = (found[name] for name in ("class", "confidence", "position", "content"))
    pairs = Pairs(*(np.ascontiguousarray(column) for column in columns))
    if not len(pairs):
        raise ConfigError(f"{file} has no row: nothing was chosen.")
    order = np.lexsort((pairs.positions, pairs.classes))  # stable: of equal rows the first is first
    same = (np.diff(pairs.positions[order]) == 0) & (np.diff(pairs.classes[order]) == 0)
    if same.any():
        again = int(order[1:][same].min())
        raise ConfigError(
            f"{place(path, about, again)}: its class has the image of position "
            f"{pairs.positions[again]} in a line before, too. Remove one of them."
        )
    return about, pairs


def place(path: str, about: About, row: int) -> str:
    """Where a pair stands: "FOLDER/selection.csv, line 7".

    Args:
      path: the folder, that `read` has read.
      about: what it has read there.
      row: which of the pairs, from 0 on.
    """
    file = os.path.join(path, LIST)
    ids = {name: k for k, name in enumerate(about["class_names"])}
    line, _ = next(itertools.islice(_rows(file, ids), row, None))
    return f"{file}, line {line}"


def empty_classes(class_names: Sequence[str], counts: np.ndarray) -> str:
    """The classes for which nothing was chosen, in words.

    >>> empty_classes(("cat", "dog", "cow"), np.array([0, 5, 0]))
    'nothing is chosen for 2 of 3 classes: cat, cow'

    Args:
      class_names: K names.
      counts: how many images each has, [K].

    Returns:
      A clause that names up to ten; "" if all have images.
    """
    names = [console.printable(name) for name, n in zip(class_names, counts, strict=True) if not n]
    if not names:
        return ""
    more = ", ..." if len(names) > _NAMED else ""
    listed = ", ".join(names[:_NAMED]) + more
    return f"nothing is chosen for {len(names):,} of {len(class_names):,} classes: {listed}"


_ROW = np.dtype([("class", "<i8"), ("confidence", "<f2"), ("position", "<i8"), ("content", "<u8")])
_Row: TypeAlias = tuple[int, float, int, int]  # class id, confidence, position, digest


class _DamagedError(Exception):
    """A row that is none."""


def _rows(path: str, ids: dict[str, int]) -> Iterator[tuple[int, _Row]]:
    """The rows of a list, each with the number of its line, the first one if it has several."""
    line = 1
    try:
        files.check_regular(path)
        # Spreadsheets put a mark before UTF-8.
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            if tuple(header) != COLUMNS:
                raise ConfigError(
                    f"{path} must have the columns {', '.join(COLUMNS)}; received "
                    f"{', '.join(header) or 'none'}."
                )
            line = rows.line_num + 1
            for row in rows:
                yield line, _parsed(row, ids)
                line = rows.line_num + 1
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {files.reason(error)}.") from error
    except csv.Error as error:
        raise ConfigError(f"{path}, line {line}: {files.reason(error)}.") from error
    except _DamagedError as error:
        raise ConfigError(
            f"{path}, line {line}: it must have a class of {ABOUT}, a confidence above 0 and at "
            "most 1, a position, a content of up to 16 hexadecimal digits and a file; received "
            f"{error}."
        ) from error


def _parsed(row: list[str], ids: dict[str, int]) -> _Row:
    """What a row says; _DamagedError with what it holds if it says nothing of the kind."""
    try:
        name, confidence, position, content, _ = row
        sure = float(confidence)
        good = name in ids and 0 < sure <= 1
        good = good and bool(_POSITION.fullmatch(position) and _CONTENT.fullmatch(content))
    except ValueError:
        good = False
    if not good:
        raise _DamagedError(reprlib.repr(row))
    return ids[name], sure, int(position), int(content, 16)
