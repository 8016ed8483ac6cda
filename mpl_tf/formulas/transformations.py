"""Random transformations of images, and how they are told: pure functions (Wang et al. 2019).

Matrices are float32 [N, 3, 3] and take a point (x, y, 1) to where it goes, up to a factor. x is to
the right, y is down, (0, 0) is the middle of an image, and half of its longer side is 1: a square
image reaches from -1 to 1.
"""

import math

import tensorflow as tf

# The most that is drawn of each.
DEGREES, SHIFT, STRETCH, SHEAR_DEGREES = 180.0, 0.2, 0.2, 30.0
CORNER = 8  # an image's longer side is so many times as long as a corner is shifted
FACTOR = 0.8


def affine_matrix(
    radians: tf.Tensor, shift: tf.Tensor, scale: tf.Tensor, shear: tf.Tensor
) -> tf.Tensor:
    """Shears, then scales, then turns counterclockwise about the middle, then shifts.

        A = [[1, 0, tx], [0, 1, ty]] * scale * [[cos, sin], [-sin, cos]] * [[1, tan(shear)], [0, 1]]

    >>> quarter, none, one = tf.constant([math.pi / 2]), tf.zeros([1]), tf.ones([1])
    >>> turned = affine_matrix(quarter, tf.zeros([1, 2]), one, none)
    >>> (turned[0] @ [[1.0], [-1.0], [1.0]]).numpy().round(3).ravel().tolist()  # to the left
    [-1.0, -1.0, 1.0]

    Args:
      radians: float32 [N].
      shift: float32 [N, 2], to the right and down.
      scale: float32 [N], above 0.
      shear: float32 [N], radians, below a quarter turn.

    Returns:
      float32 [N, 3, 3].
    """
    cos, sin, slope = tf.cos(radians), tf.sin(radians), tf.tan(shear)
    zero, one = tf.zeros_like(radians), tf.ones_like(radians)
    rows = [
        [scale * cos, scale * (slope * cos + sin), shift[:, 0]],
        [-scale * sin, scale * (cos - slope * sin), shift[:, 1]],
        [zero, zero, one],
    ]
    return tf.stack([tf.stack(row, -1) for row in rows], -2)


def homography(corners: tf.Tensor, width: float, height: float) -> tf.Tensor:
    """The projective map of an image's corners to given ones, in closed form.

    Heckbert 1989, section 2.2.3: of the unit square, after the map of the image to it.

    >>> square = tf.constant([[[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]])
    >>> abs(homography(square, 1.0, 1.0)[0].numpy()).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

    Args:
      corners: float32 [N, 4, 2], where the corners go: top left, top right, bottom right, bottom
        left. No three are on a line.
      width, height: half of the image's sides.

    Returns:
      float32 [N, 3, 3], the last entry 1.
    """
    first, second, third, fourth = tf.unstack(corners, axis=1)  # [N, 2]
    right, down = second - third, fourth - third
    rest = first - second + third - fourth
    area = _cross(right, down)
    g, h = _cross(rest, down) / area, _cross(right, rest) / area  # [N]
    along = second - first + g[:, None] * second
    across = fourth - first + h[:, None] * fourth
    # Columns of the map of the unit square; u = (x / width + 1) / 2, v = (y / height + 1) / 2.
    one = tf.ones_like(g)[:, None]
    u, v = tf.concat([along, g[:, None]], 1), tf.concat([across, h[:, None]], 1)
    origin = tf.concat([first, one], 1) + (u + v) / 2
    matrix = tf.stack([u / (2 * width), v / (2 * height), origin], axis=-1)
    return matrix / matrix[:, 2:, 2:]


def inverse(matrix: tf.Tensor) -> tf.Tensor:
    """The inverse of a projective map, up to a factor: the adjugate, float32 [N, 3, 3].

    >>> inverse(2 * tf.eye(3)[None])[0].numpy().tolist()  # four times the inverse of 2, each
    [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]]

    Args:
      matrix: float32 [N, 3, 3].
    """
    a, b, c = tf.unstack(matrix, axis=1)
    return tf.stack([tf.linalg.cross(b, c), tf.linalg.cross(c, a), tf.linalg.cross(a, b)], axis=-1)


def affine_family(
    draws: tf.Tensor, width: float, height: float
) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
    """Random affine, similarity and Euclidean maps, all three of the same draw.

    Affine: an angle within 180 degrees, shifts within 20% of the sides, a scale of 0.8 to 1.2 and a
    shear within 30 degrees. A similarity has no shear, a Euclidean map no scale either. What is to
    be told is (cos, sin, shift to the right, down, scale, shear), all but the first two divided by
    their range, of which each has its own.

    >>> draws = tf.constant([[0.5, 1.0, 0.0, 0.75, 0.5]])
    >>> family = affine_family(draws, 1.0, 1.0)
    >>> {name: told.numpy().round(3).ravel().tolist() for name, (_, told) in family.items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'affine': [1.0, 0.0, 1.0, -1.0, 0.5, 0.0],
     'similarity': [1.0, 0.0, 1.0, -1.0, 0.5],
     'euclidean': [1.0, 0.0, 1.0, -1.0]}

    Args:
      draws: float32 [N, 5], uniform in [0, 1].
      width, height: half of the image's sides.

    Returns:
      Name -> (matrix [N, 3, 3], what is to be told [N, 6, 5 or 4]), float32.
    """
    centred = 2 * draws - 1  # [N, 5]
    radians = math.radians(DEGREES) * centred[:, 0]
    shift = centred[:, 1:3] * (2 * SHIFT * tf.constant([width, height], draws.dtype))
    scale, shear = 1 + STRETCH * centred[:, 3], math.radians(SHEAR_DEGREES) * centred[:, 4]
    one, none = tf.ones_like(scale), tf.zeros_like(shear)
    turn = tf.stack([tf.cos(radians), tf.sin(radians)], axis=-1)
    told = tf.concat([turn, centred[:, 1:]], axis=-1)  # [N, 6]
    return {
        "affine": (affine_matrix(radians, shift, scale, shear), told),
        "similarity": (affine_matrix(radians, shift, scale, none), told[:, :5]),
        "euclidean": (affine_matrix(radians, shift, one, none), told[:, :4]),
    }


def projective(draws: tf.Tensor, width: int, height: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Random projective maps, by where an image's corners go.

    Corners are scaled by 0.8 to 1.2, turned by a random number of quarter turns, and each shifted
    by whole pixels, at most an eighth of the longer side. What is to be told is the matrix, whose
    last entry is 1.

    >>> still = tf.constant([[0.5, 0.0] + [0.5] * 8])
    >>> abs(projective(still, 32, 32)[1].numpy()).tolist()
    [[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]

    Args:
      draws: float32 [N, 10], uniform in [0, 1).
      width, height: of the image in pixels.

    Returns:
      (matrix [N, 3, 3], what is to be told [N, 8]), float32.
    """
    longer = max(width, height)
    half_width, half_height = width / longer, height / longer
    corners = tf.constant([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    corners = corners * [half_width, half_height]  # [4, 2]
    scale = 1 + STRETCH * (2 * draws[:, 0] - 1)
    quarters = tf.cast(tf.floor(4 * draws[:, 1]), tf.int32)
    turns = tf.constant(
        [[[1.0, 0], [0, 1]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]]]
    )
    turned = tf.einsum("nij,cj->nci", tf.gather(turns, quarters), corners)  # [N, 4, 2]
    most = longer // CORNER
    pixels = tf.floor((2 * most + 1) * draws[:, 2:]) - most
    shift = tf.reshape(pixels, [-1, 4, 2]) * (2 / longer)
    matrix = homography(scale[:, None, None] * turned + shift, half_width, half_height)
    return matrix, tf.reshape(matrix, [-1, 9])[:, :8]


def color_factors(draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Random factors of colour, contrast, brightness and sharpness, from 0.2 to 1.8.

    >>> factors, told = color_factors(tf.constant([[0.0, 0.5, 0.5, 1.0]]))
    >>> factors.numpy().astype(float).round(3).tolist(), told.numpy().tolist()
    ([[0.2, 1.0, 1.0, 1.8]], [[-1.0, 0.0, 0.0, 1.0]])

    Args:
      draws: float32 [N, 4], uniform in [0, 1].

    Returns:
      (factors [N, 4], what is to be told [N, 4]: how far they are from 1, as a share of the most).
    """
    told = 2 * draws - 1
    return 1 + FACTOR * told, told


def _cross(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """a_x * b_y - a_y * b_x of vectors [N, 2]."""
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
