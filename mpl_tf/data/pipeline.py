"""Batches that are a pure function of (seed, step)."""

import tensorflow as tf

# The independent random streams of one run seed.
_LABELED, _UNLABELED, _LABELED_VIEW, _WEAK, _STRONG = range(5)


def order(count, batch, seed, stream, start):
    """Endless positions of batches `start`, `start + 1`, ...: a fresh permutation an epoch.

    Batches wrap from one epoch into the next. Starting late costs no more than starting at 0.

    Args:
      count: int, number of images, at least 1.
      batch: int, images a batch.
      seed: int, of the run.
      stream: int, which of the run's random streams.
      start: int, the first batch.

    Returns:
      tf.data.Dataset of int64 [batch].
    """
    first = start * batch

    def epoch_order(epoch):
        key = tf.random.experimental.stateless_fold_in(tf.constant([seed, stream], tf.int64), epoch)
        shuffled = tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), key)
        return tf.data.Dataset.from_tensor_slices(shuffled)

    epochs = tf.data.Dataset.range(first // count, tf.int64.max)
    return epochs.flat_map(epoch_order).skip(first % count).batch(batch, drop_remainder=True)


def training_batches(split, *, labeled_batch, unlabeled_batch, views, weak, strong, seed, start=0):
    """The endless training data of a method.

    Args:
      split: data.splits.Split.
      labeled_batch: int, labeled images a step.
      unlabeled_batch: int, unlabeled images a step.
      views: sequence of "weak" and "strong", the unlabeled views wanted; none reads no unlabeled
        image.
      weak: policy of the weak view and of labeled images.
      strong: policy of the strong view.
      seed: int, of the run.
      start: int, the step to start at.

    Returns:
      tf.data.Dataset of dicts: `labeled` uint8 [B,H,W,C], `label` int64 [B], and the views, uint8
      [U,H,W,C] each, of the same images, with `hidden_label` int64 [U], for diagnostics alone.
    """
    labeled, unlabeled = split.labeled, split.unlabeled
    parts = [
        tf.data.Dataset.range(start, tf.int64.max),
        order(len(labeled), labeled_batch, seed, _LABELED, start),
    ]
    if views:
        parts.append(order(len(unlabeled), unlabeled_batch, seed, _UNLABELED, start))
    images, labels = tf.constant(labeled.images), tf.constant(labeled.labels)
    pool, hidden = tf.constant(unlabeled.images), tf.constant(unlabeled.labels)
    policies = {"weak": (weak, _WEAK), "strong": (strong, _STRONG)}

    def load(step, index, unlabeled_index=None):
        def view(policy, stream, source, positions):
            key = tf.random.experimental.stateless_fold_in(
                tf.constant([seed, stream], tf.int64), step
            )
            batch = tf.ensure_shape(
                tf.gather(source, positions), [*positions.shape, *source.shape[1:]]
            )
            return policy(batch, key)

        batch = {
            "labeled": view(weak, _LABELED_VIEW, images, index),
            "label": tf.gather(labels, index),
        }
        for name in views:
            policy, stream = policies[name]
            batch[name] = view(policy, stream, pool, unlabeled_index)
        if views:
            batch["hidden_label"] = tf.gather(hidden, unlabeled_index)
        return batch

    options = tf.data.Options()
    options.deterministic = True
    data = tf.data.Dataset.zip(*parts).map(load, num_parallel_calls=2)
    return data.prefetch(2).with_options(options)


def evaluation_batches(images, batch=500):
    """All of `images` (data.dataset.Images) once, in order, as (images, labels) batches."""
    pairs = tf.data.Dataset.from_tensor_slices((images.images, images.labels))
    return pairs.batch(batch).prefetch(2)
