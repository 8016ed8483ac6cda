"""neighbours.png: which images are alike to a network."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mpl_tf.features import compute
from mpl_tf.formulas import neighbours
from mpl_tf.options import ConfigError
from mpl_tf.runs import drawing

_BATCH = 256  # images of a pass
_BELOW = 0.2  # room for a number, as a share of an image


def draw(
    path: str,
    backbone: keras.Model,
    queries: np.ndarray,
    pool: np.ndarray,
    k: int = 8,
    captions: Sequence[str] | None = None,
) -> bool:
    """Draws images, each with its nearest neighbours in a pool by the features of a network.

    A row has an image, and on its right the k images of the pool whose features have the greatest
    cosine similarity to its own, which is written under each. An image that is in the pool, too, is
    its own nearest one.

    Args:
      path: the PNG to write.
      backbone: images [N, H, W, C] with values 0 to 255 -> features [N, F].
      queries: uint8 [Q, H, W, C].
      pool: uint8 [M, H, W, C].
      k: neighbours of an image; all of the pool where it has fewer.
      captions: a few words on each query, such as its class; None for none.

    Returns:
      Whether it was drawn.

    Raises:
      ConfigError: there are no images, they differ in shape, or not each query has a caption.
      OSError: the picture was drawn and cannot be written.
    """
    if not len(queries) or not len(pool) or queries.shape[1:] != pool.shape[1:]:
        raise ConfigError(
            "a picture of neighbours needs images of one shape, and at least one of each; received "
            f"{list(queries.shape)} and a pool of {list(pool.shape)}."
        )
    if captions is not None and len(captions) != len(queries):
        raise ConfigError(f"received {len(captions)} captions of {len(queries)} images.")
    if k < 1:
        raise ConfigError(f"k must be at least 1; received {k}.")

    def make() -> Figure:
        run = compute.forward(backbone)
        features, bank = (_features(run, images) for images in (queries, pool))
        index, similarity = neighbours.nearest(features, bank, min(k, len(pool)))
        return _grid(queries, pool, index, similarity, captions)

    return drawing.save(path, make)


def _features(run: compute.Forward, images: np.ndarray) -> np.ndarray:
    starts = range(0, len(images), _BATCH)
    return np.concatenate([run(tf.constant(images[i : i + _BATCH])) for i in starts])


def _grid(
    queries: np.ndarray,
    pool: np.ndarray,
    index: np.ndarray,
    similarity: np.ndarray,
    captions: Sequence[str] | None,
) -> Figure:
    """A row a query, a column a neighbour; `index` and `similarity` are [Q, k]."""
    cells = np.concatenate([queries[:, None], pool[index]], axis=1)
    picture, (rows, columns) = drawing.joined(cells, _BELOW)
    height, width = cells.shape[2:4]
    inches = 1.1 / width  # of a pixel
    size = (picture.shape[1] * inches + 0.6, picture.shape[0] * inches + 1.3)
    figure = Figure(figsize=(max(size[0], 5.5), size[1]), layout="constrained")
    figure.suptitle("What the network finds alike", fontsize=13)
    axes = figure.subplots()
    axes.imshow(picture)
    for row, column in np.ndindex(*index.shape):
        text = f"{similarity[row, column]:.2f}"
        below = rows[row] + height / 2 + 0.02 * height
        axes.text(columns[column + 1], below, text, ha="center", va="top", fontsize=9)
    for middle in rows:
        corner = columns[0] - width / 2, middle - height / 2
        frame = Rectangle(corner, width, height, fill=False, clip_on=False)
        frame.set(edgecolor=drawing.NETWORK_COLORS["student"], linewidth=2.5)
        axes.add_patch(frame)
    titles = ["image", "nearest", *(f"{place}." for place in range(2, index.shape[1] + 1))]
    axes.set_xticks(columns, titles, fontsize=10)
    names = [drawing.short(caption) for caption in captions or [""] * len(rows)]
    axes.set_yticks(rows, names, fontsize=9, rotation=90, va="center")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(
        f"Framed: an image. Beside it, of a pool of {len(pool):,}, those of nearest features.\n"
        "Numbers: cosine similarity; 1 is the same direction, 0 has nothing in common.",
        fontsize=9,
    )
    return figure
