"""The jigsaw puzzle of PIRL (Misra and van der Maaten 2020, arXiv 1912.01991)."""

import tensorflow as tf

from mpl_tf.augment import geometry
from mpl_tf.augment.draws import Draws
from mpl_tf.options import ConfigError

GRID = 3  # cells a side
LEAST_SIDE = 2 * GRID
_PATCH, _CELL = 64, 85  # pixels of the authors' patches, and of the cells they are cut from


def puzzle(images: tf.Tensor, draws: Draws) -> tf.Tensor:
    """A policy: nine patches of every image in an order of its own, as an image of its size.

    The image has a grid of 3x3 cells of `H // 3` by `W // 3` pixels, from its upper left corner
    on. From each cell a patch is cut at a random place, in whole pixels, `side_of_patch(H // 3)` by
    `side_of_patch(W // 3)` of them: a random strip between two patches is in neither, so that their
    edges do not tell which are neighbours. A patch is enlarged bilinearly to the size of a cell,
    and the patches take the places of the cells, all orders equally likely: patch i of the result,
    row by row, is `patches(result)[:, i]`. Rows and columns that are left over, if H or W is no
    multiple of 3, are 0.

    Args:
      images: uint8 [N, H, W, C] with static H, W and C, H and W at least 6.
      draws: of these N rows.

    Returns:
      uint8 [N, H, W, C].

    Raises:
      ConfigError: H or W is less than 6.
    """
    height, width, channels = images.shape[1:]
    if min(height, width) < LEAST_SIDE:
        raise ConfigError(
            f"a puzzle needs images of at least {LEAST_SIDE}x{LEAST_SIDE} pixels; received "
            f"{height}x{width}."
        )
    count, cells = GRID * GRID, (height // GRID, width // GRID)
    order = tf.argsort(draws.uniform(0, columns=[count]), axis=1)
    shuffled = tf.gather(patches(images), order, axis=1, batch_dims=1)
    corners = [
        tf.cast(draws.integers(1 + axis, 0, cell - side_of_patch(cell) + 1, [count]), tf.float32)
        for axis, cell in enumerate(cells)
    ]
    top, left = (corner / cell for corner, cell in zip(corners, cells, strict=True))
    share = [side_of_patch(cell) / cell for cell in cells]
    boxes = tf.stack([top, left, top + share[0], left + share[1]], axis=2)  # [N, 9, 4]
    enlarged = geometry.crop_and_resize(
        tf.reshape(shuffled, [-1, *cells, channels]), tf.reshape(boxes, [-1, 4])
    )
    rows = tf.reshape(enlarged, [-1, GRID, GRID, *cells, channels])
    joined = tf.transpose(rows, [0, 1, 3, 2, 4, 5])  # [N, 3, H // 3, 3, W // 3, C]
    joined = tf.reshape(joined, [-1, GRID * cells[0], GRID * cells[1], channels])
    rest = [[0, 0], [0, height % GRID], [0, width % GRID], [0, 0]]
    return tf.ensure_shape(tf.pad(joined, rest), images.shape)


def patches(images: tf.Tensor) -> tf.Tensor:
    """The nine cells of every image, row by row.

    Cell `3 * i + j` is `images[:, i * h : (i + 1) * h, j * w : (j + 1) * w]`, with h of `H // 3`
    and w of `W // 3` pixels.

    Args:
      images: any type [N, H, W, C] with static H, W and C, H and W at least 3.

    Returns:
      The same type, [N, 9, H // 3, W // 3, C].
    """
    height, width, channels = images.shape[1:]
    h, w = height // GRID, width // GRID
    cells = tf.reshape(images[:, : GRID * h, : GRID * w], [-1, GRID, h, GRID, w, channels])
    return tf.reshape(tf.transpose(cells, [0, 1, 3, 2, 4, 5]), [-1, GRID * GRID, h, w, channels])


def side_of_patch(cell: int) -> int:
    """Pixels of a patch's side: 64/85 of the cell's, rounded, at most the cell's less 1.

    Args:
      cell: pixels, at least 2.
    """
    return max(1, min(cell - 1, round(cell * _PATCH / _CELL)))
