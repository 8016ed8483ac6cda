"""What all pictures share: colours, names, pixels, and how they are written."""

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.text import Text

from mpl_tf.console import log
from mpl_tf.engine.roles import ROLES
from mpl_tf.files import reason, whole
from mpl_tf.paths import is_utf8

# The same thing has the same colour in every panel, and a network's colour is its alone.
NETWORK_COLORS = dict(zip(ROLES, ("tab:orange", "tab:blue", "tab:green", "tab:red"), strict=True))
LABEL_COLOR, PSEUDO_LABEL_COLOR = "tab:gray", "tab:cyan"
OTHER_COLORS = ("tab:purple", "tab:brown", "tab:pink", "tab:olive")
_FEW_POINTS = 50  # a curve of fewer shows each of them


def save(path: str, make: Callable[[], Figure], dpi: int = 100) -> bool:
    """Writes a picture. What cannot be drawn is said, and stops nothing.

    Text is drawn as it stands: a class may be called `$x_1$`. Bytes that are no text, in the name
    of a file, are question marks.

    Args:
      path: the PNG to write.
      make: makes the figure.
      dpi: pixels of an inch.

    Returns:
      Whether it was drawn.

    Raises:
      OSError: it was drawn and cannot be written.
    """
    content = io.BytesIO()
    try:
        with (
            matplotlib.rc_context({"text.parse_math": False}),
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always")
            figure = make()
            _replace_what_is_no_text(figure)
            figure.savefig(content, format="png", dpi=dpi)
    except Exception as error:
        log.warning(f"{path} could not be drawn, and all else goes on: {reason(error)}")
        return False
    if any("missing from" in str(warning.message) for warning in caught):
        log.info(f"{path} shows boxes for characters that its font does not have")
    with whole(path) as partial, open(partial, "wb") as file:
        file.write(content.getvalue())
    return True


def _replace_what_is_no_text(figure: Figure) -> None:
    """Puts a question mark for bytes that are no UTF-8, which the name of a file may have."""
    for text in figure.findobj(Text):
        shown = text.get_text()
        if not is_utf8(shown):
            text.set_text(shown.encode(errors="replace").decode())


def pixels(image: np.ndarray) -> np.ndarray:
    """An image [H, W, C] as matplotlib shows it: RGB as it is, all else as the grey mean."""
    return image if image.shape[-1] == 3 else image.mean(axis=-1)


def joined(cells: np.ndarray, below: float = 0.0) -> tuple[np.ndarray, list[np.ndarray]]:
    """One picture of images, with white between them.

    One axes a view would take matplotlib several times as long.

    Args:
      cells: uint8 [rows, columns, H, W, C].
      below: white under each row, as a share of H, beside what is between all images.

    Returns:
      (picture, centers): uint8 [height, width, 3], and where rows and columns have their middle.
    """
    *counts, height, width, _ = cells.shape
    strides = np.array([height, width]) + max(1, width // 12)
    strides[0] += round(below * height)
    picture = np.full((*(strides * counts), 3), 255, np.uint8)
    for row, column in np.ndindex(*counts):
        top, left = strides * (row, column)
        image = pixels(cells[row, column])
        shown = image if image.ndim == 3 else image[..., None]
        picture[top : top + height, left : left + width] = shown
    middles = (height - 1) / 2, (width - 1) / 2
    return picture, [
        stride * np.arange(count) + middle
        for stride, count, middle in zip(strides, counts, middles, strict=True)
    ]


def short(name: str, limit: int = 16) -> str:
    """A name that has room under a picture: in one line, its end left out if it is long."""
    name = " ".join(name.split())
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


def line(axes: Axes, curve: np.ndarray, color: str, label: str, style: str = "-") -> None:
    """Draws a curve [2, n] of steps and values; a single point is seen, too."""
    marker = "." if curve.shape[1] < _FEW_POINTS else ""
    axes.plot(*curve, linestyle=style, marker=marker, color=color, label=label)


def name_ticks(axis: Axis, class_names: Sequence[str], **style: Any) -> None:
    """Writes the names of the classes 0, 1, ... at an axis; `style` is that of the text."""
    names = [short(name) for name in class_names]
    if isinstance(axis, XAxis) and max(map(len, names)) > 3:
        style["rotation"] = 90
    axis.set_ticks(range(len(names)), names, **style)


class PlainLogFormatter(ticker.LogFormatter):
    """Numbers on a logarithmic axis as plain text: 0.2, not a formula."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""
