"""Contact sheets: images of a list with what is said of them."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mpl_tf.runs import drawing

# Images on a sheet; a list may be longer.
MOST = 60

_COLUMNS = 10
_WIDTH, _HEIGHT, _TITLE = 1.5, 2.0, 0.6  # inches of an image with its caption; of the title
_LONGEST = 20  # characters of a line under an image


def draw(
    path: str, *, title: str, images: Sequence[np.ndarray], captions: Sequence[Sequence[str]]
) -> bool:
    """Draws images in rows, each with lines of text below. What cannot be drawn stops nothing.

    Args:
      path: the PNG to write.
      title: of the sheet; where there are more images than fit, it says how many are shown.
      images: uint8 [H, W, C] each.
      captions: for each image up to three lines of text.

    Returns:
      Whether it was drawn.

    Raises:
      OSError: it was drawn and cannot be written.
    """
    return drawing.save(path, lambda: _sheet(title, images, captions), dpi=120)


def end_of(name: object) -> str:
    """The end of a file's name, which tells it from others, as long as a line of a caption."""
    text = " ".join(str(name).split())
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


def _sheet(title: str, images: Sequence[np.ndarray], captions: Sequence[Sequence[str]]) -> Figure:
    shown = min(len(images), MOST)
    if shown < len(images):
        title += f" (the first {shown} of {len(images)})"
    columns = min(max(shown, 4), _COLUMNS)
    rows = max(math.ceil(shown / columns), 1)
    figure = Figure(figsize=(columns * _WIDTH, rows * _HEIGHT + _TITLE))
    figure.suptitle(
        drawing.short(title, 14 * columns), fontsize=11, y=1 - 0.25 / (rows * _HEIGHT + _TITLE)
    )
    if not shown:
        figure.text(0.5, 0.4, "no image", ha="center", color="gray")
        return figure
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in grid:
        axes.set_axis_off()
    for axes, image, lines in zip(grid, images, captions, strict=False):
        axes.imshow(drawing.pixels(image), cmap="gray", vmin=0, vmax=255)
        text = "\n".join(drawing.short(line, _LONGEST) for line in lines)
        axes.text(0.5, -0.05, text, transform=axes.transAxes, ha="center", va="top", fontsize=7.5)
    height = rows * _HEIGHT + _TITLE
    figure.subplots_adjust(
        left=0.01,
        right=0.99,
        top=1 - _TITLE / height,
        bottom=0.45 / height,
        wspace=0.08,
        hspace=0.45,
    )
    return figure
