"""MixUp of a global batch, the same on one replica and on several."""

import tensorflow as tf

from mpl_tf.engine import replicas
from mpl_tf.formulas import random


def mix(images, targets, alpha, seed, *, one_weight=False, keep_larger=False):
    """Mixes every image, and its target, with a random one of the global batch.

        l    ~ Beta(alpha, alpha), one for each image or one for all
        l   <- max(l, 1 - l)       with keep_larger: an image stays closer to itself
        x_i <- l_i * x_i + (1 - l_i) * x_order(i),  and targets likewise

    Zhang et al. 2018. Weights and order are drawn for the batch of all parts and all replicas, in
    the order in which one replica would have it, and partners come from other replicas too: what
    replicas mix together is what one would mix alone.

    Args:
      images: list of [N_j,H,W,C], the parts of this replica's batch; sizes must be static.
      targets: list of floating [N_j, K].
      alpha: float, at least 0; 0 mixes nothing.
      seed: integer tensor [2], new in every step.
      one_weight: bool, whether one weight is drawn for the whole batch.
      keep_larger: bool.

    Returns:
      (images, targets): lists like those received, images floating.
    """
    images = [floating(part) for part in images]
    if not alpha:
        return images, list(targets)
    index, count = replicas.replica()
    sizes = [part.shape[0] for part in images]
    total, dtype = count * sum(sizes), targets[0].dtype
    weight = random.beta(seed, [1 if one_weight else total], alpha, dtype)
    weight = tf.broadcast_to(tf.maximum(weight, 1 - weight) if keep_larger else weight, [total])
    order = random.permutation(seed + [0, 1], total)

    # Where this replica's rows lie in the global batch, part by part.
    begins = [count * sum(sizes[:j]) + index * size for j, size in enumerate(sizes)]

    def mixed(parts):
        every = tf.concat([replicas.all_rows(part) for part in parts], 0)
        found = []
        for part, begin, size in zip(parts, begins, sizes, strict=True):
            rows = begin + tf.range(size)
            partner = tf.gather(every, tf.gather(order, rows))
            w = tf.reshape(tf.gather(weight, rows), [size] + [1] * (part.shape.rank - 1))
            w = tf.cast(w, part.dtype)
            found.append(w * part + (1 - w) * partner)
        return found

    return mixed(images), mixed(targets)


def floating(images):
    """Images as floating numbers of the same values; float32 if they are integers."""
    return images if images.dtype.is_floating else tf.cast(images, tf.float32)
