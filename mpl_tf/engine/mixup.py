"""MixUp and CutMix of a global batch, the same on one replica and on several.

keras.layers.CutMix is not used: its seed fixes a sequence of calls, in which a resumed run has no
place, and not what a step draws; it does not compile with XLA; and a replica would take partners
from its own images alone.
"""

from collections.abc import Callable

import tensorflow as tf

from mpl_tf.augment.geometry import interval
from mpl_tf.engine import replicas
from mpl_tf.formulas import random

Mixed = tuple[list[tf.Tensor], list[tf.Tensor]]


def mix(
    images: list[tf.Tensor],
    targets: list[tf.Tensor],
    alpha: float,
    seed: tf.Tensor,
    *,
    one_weight: bool = False,
    keep_larger: bool = False,
) -> Mixed:
    """Mixes every image, and its target, with a random one of the global batch.

        l    ~ Beta(alpha, alpha), one for each image or one for all
        l   <- max(l, 1 - l)       with keep_larger: an image stays closer to itself
        x_i <- l_i * x_i + (1 - l_i) * x_order(i),  and targets likewise

    Zhang et al. 2018. Weights and order are drawn for the batch of all parts and all replicas, in
    the order in which one replica would have it, and partners come from other replicas too: what
    replicas mix together is what one would mix alone.

    Args:
      images: [N_j,H,W,C] each, the parts of this replica's batch; sizes must be static.
      targets: floating [N_j, K] each.
      alpha: at least 0; 0 mixes nothing.
      seed: integer tensor [2], new in every step.
      one_weight: whether one weight is drawn for the whole batch.
      keep_larger: whether the larger share is always the image's own.

    Returns:
      (images, targets): lists like those received, images floating.
    """
    images = [floating(part) for part in images]
    if not alpha:
        return images, list(targets)
    rows, total = _rows(images)
    weight = random.beta(seed, [1 if one_weight else total], alpha, targets[0].dtype)
    weight = tf.broadcast_to(tf.maximum(weight, 1 - weight) if keep_larger else weight, [total])
    order = random.permutation(seed + [0, 1], total)

    def weighted(part: tf.Tensor, partner: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        w = _per_image(tf.gather(weight, row), part)
        return w * part + (1 - w) * partner

    return _paired(images, order, rows, weighted), _paired(targets, order, rows, weighted)


def mix_labels_and_guesses(
    images: list[tf.Tensor],
    label: tf.Tensor,
    weighted: tf.Tensor,
    guess: tf.Tensor,
    alpha: float,
    seed: tf.Tensor,
) -> Mixed:
    """`mix`, with `keep_larger`, of labeled images and of views of unlabeled ones.

    Args:
      images: [B,H,W,C] labeled ones, and then views [U,H,W,C].
      label: floating [B, K], targets of the labeled ones, for their share in mixed views.
      weighted: floating [B, K], the same times weights of classes, for mixed labeled images.
      guess: floating [U, K], targets of each view.
      alpha, seed: as for `mix`.

    Returns:
      (images, targets): as `mix`.
    """
    classes, views = label.shape[-1], len(images) - 1
    both = [tf.concat(pair, -1) for pair in ((weighted, label), *[(guess, guess)] * views)]
    images, (labels, *guesses) = mix(images, both, alpha, seed, keep_larger=True)
    return images, [labels[:, :classes], *(mixed[:, classes:] for mixed in guesses)]


def cutmix(
    images: list[tf.Tensor], targets: list[tf.Tensor], alpha: float, seed: tf.Tensor
) -> Mixed:
    """Replaces a rectangle of every image by that of a random image of the global batch.

        l       ~ Beta(alpha, alpha), one for each image
        box_i   = sqrt(1 - l_i) of height and width, rounded down to whole pixels, about a pixel
                  drawn uniformly, and cut off at the image's border
        x_i    <- x_order(i) in the box, x_i elsewhere
        area_i  = pixels in the box / pixels
        t_i    <- (1 - area_i) * t_i + area_i * t_order(i)

    Yun et al. 2019, section 3.1; as in the authors' code, the target has the exact area of the box
    that was pasted, after the border cut it off. Their code draws one box for a batch, this one for
    each image. Everything is drawn for the global batch, as in `mix`.

    Args:
      images: [N_j,H,W,C] each, the parts of this replica's batch; sizes must be static.
      targets: floating [N_j, K] each.
      alpha: at least 0; 0 mixes nothing.
      seed: integer tensor [2], new in every step.

    Returns:
      (images, targets): lists like those received, images floating.
    """
    images = [floating(part) for part in images]
    if not alpha:
        return images, list(targets)
    rows, total = _rows(images)
    scale = tf.sqrt(1 - random.beta(seed, [total], alpha))
    order = random.permutation(seed + [0, 1], total)
    centre = random.uniform(seed + [0, 2], [2, total])
    height, width = images[0].shape[1:3]
    lines = interval(height, centre[0], tf.floor(scale * height))  # [total, H]
    columns = interval(width, centre[1], tf.floor(scale * width))  # [total, W]
    box = lines[:, :, None, None] & columns[:, None, :, None]  # [total, H, W, 1]
    high, wide = (tf.reduce_sum(tf.cast(side, tf.float32), 1) for side in (lines, columns))
    area = high * wide / (height * width)

    def pasted(part: tf.Tensor, partner: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.gather(box, row), partner, part)

    def weighted(part: tf.Tensor, partner: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        share = _per_image(tf.gather(area, row), part)
        return (1 - share) * part + share * partner

    return _paired(images, order, rows, pasted), _paired(targets, order, rows, weighted)


def floating(images: tf.Tensor) -> tf.Tensor:
    """Images as floating numbers of the same values; float32 if they are integers."""
    return images if images.dtype.is_floating else tf.cast(images, tf.float32)


def _rows(parts: list[tf.Tensor]) -> tuple[list[tf.Tensor], int]:
    """(rows of this replica in the global batch, [N_j] for each part; rows of that batch)."""
    index, count = replicas.replica()
    sizes = [part.shape[0] for part in parts]
    begins = [count * sum(sizes[:j]) + index * size for j, size in enumerate(sizes)]
    rows = [begin + tf.range(size) for begin, size in zip(begins, sizes, strict=True)]
    return rows, count * sum(sizes)


def _paired(
    parts: list[tf.Tensor],
    order: tf.Tensor,
    rows: list[tf.Tensor],
    combine: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
) -> list[tf.Tensor]:
    """`combine(part, partner, row)` of each part, partners from the global batch by `order`."""
    batch = tf.concat([replicas.all_rows(part) for part in parts], 0)
    return [
        combine(part, tf.gather(batch, tf.gather(order, row)), row)
        for part, row in zip(parts, rows, strict=True)
    ]


def _per_image(values: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
    """Values [N] in the shape and dtype that broadcast over a part [N, ...]."""
    return tf.cast(tf.reshape(values, [-1] + [1] * (part.shape.rank - 1)), part.dtype)
