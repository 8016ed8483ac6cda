"""Contact sheets: images of a list with what is said of them."""

import math
import re
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mpl_tf.runs import drawing

# Images on a sheet; a list may be longer.
MOST = 60

_COLUMNS = 10
_WIDTH, _TITLE, _GAP = 1.5, 0.6, 0.12  # inches of an image, of the title, and below a caption
_LINE, _POINTS = 0.135, 7.5  # inches and size of a line of a caption
_MARGIN = 0.05  # inches around an image
_LONGEST = 22  # characters of a line
_MOST_LINES = 3  # of one text of a caption; of a longer one the middle is left out


def draw(
    path: str, *, title: str, images: Sequence[np.ndarray], captions: Sequence[Sequence[str]]
) -> bool:
    """Draws images in rows, each with lines of text below. What cannot be drawn stops nothing.

    Args:
      path: the PNG to write.
      title: of the sheet; where there are more images than fit, it says how many are shown.
      images: uint8 [H, W, C] each.
      captions: for each image some texts, each of which begins a line and is wrapped.

    Returns:
      Whether it was drawn.

    Raises:
      OSError: it was drawn and cannot be written.
    """
    return drawing.save(path, lambda: _sheet(title, images, captions), dpi=120)


def without_folders(name: object, *folders: str) -> str:
    """A file's name without what is known of it: folders at its beginning.

    Args:
      name: as the dataset names the image.
      *folders: that are left out where the name begins with them, one after the other.
    """
    text = str(name)
    for folder in folders:
        text = text.removeprefix(f"{folder}/")
    return text


def wrapped(text: str) -> list[str]:
    """A text in lines that have room under an image; of a very long one the middle is left out."""
    text, most = " ".join(text.split()), _LONGEST * _MOST_LINES
    if len(text) > most:
        half = (most - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    # Between words if there are some; a name without any is broken after _, - and /.
    lines: list[str] = []
    for word in re.findall(r"[^\s_/-]+[_/-]*\s*|[_/-]+\s*", text):
        pieces = [word[i : i + _LONGEST] for i in range(0, len(word), _LONGEST)]
        for piece in pieces:
            if lines and len((lines[-1] + piece).rstrip()) <= _LONGEST:
                lines[-1] += piece
            else:
                lines.append(piece)
    return [line.rstrip() for line in lines] or [""]


def _sheet(title: str, images: Sequence[np.ndarray], captions: Sequence[Sequence[str]]) -> Figure:
    shown = min(len(images), MOST)
    if shown < len(images):
        title += f" (the first {shown} of {len(images)})"
    columns = min(max(shown, 4), _COLUMNS)
    rows = max(math.ceil(shown / columns), 1)
    texts = [[line for text in caption for line in wrapped(text)] for caption in captions[:shown]]
    lines = max((len(text) for text in texts), default=1)
    row = _WIDTH + _LINE * lines + _GAP
    width, height = columns * _WIDTH, rows * row + _TITLE
    figure = Figure(figsize=(width, height))
    figure.suptitle(
        textwrap.fill(title, 14 * columns, max_lines=2, placeholder="…"),
        fontsize=11,
        y=1 - 0.12 / height,
        va="top",
    )
    if not shown:
        figure.text(0.5, 0.4, "no image", ha="center", color="gray")
    for number, (image, text) in enumerate(zip(images, texts, strict=False)):
        down, across = divmod(number, columns)
        top = height - _TITLE - down * row
        axes = figure.add_axes(
            (
                (across * _WIDTH + _MARGIN) / width,
                (top - _WIDTH + 2 * _MARGIN) / height,
                (_WIDTH - 2 * _MARGIN) / width,
                (_WIDTH - 2 * _MARGIN) / height,
            )
        )
        axes.set_axis_off()
        axes.set_anchor("S")  # beside its caption
        axes.imshow(drawing.pixels(image), cmap="gray", vmin=0, vmax=255)
        figure.text(
            (across + 0.5) * _WIDTH / width,
            (top - _WIDTH + _MARGIN) / height,
            "\n".join(text),
            ha="center",
            va="top",
            fontsize=_POINTS,
        )
    return figure
