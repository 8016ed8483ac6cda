"""Inside a step: what must be combined over replicas."""

from typing import Any

import tensorflow as tf


def replica() -> tuple[Any, int]:
    """(index of this replica, number of replicas) inside a step."""
    context = tf.distribute.get_replica_context()
    return context.replica_id_in_sync_group, context.num_replicas_in_sync


def shape_on_all(tensor: tf.Tensor) -> list[int] | tf.Tensor:
    """[number of replicas, *shape of this replica's tensor]; static if that is known."""
    _, count = replica()
    if tensor.shape.is_fully_defined():
        return [count, *tensor.shape]
    return tf.concat([[count], tf.shape(tensor)], 0)


def mean_over_replicas(tensors: Any) -> Any:
    """The mean of each tensor over all replicas, given back to every replica.

    Args:
      tensors: a tensor or a (nested) list of tensors, one value a replica.

    Returns:
      The same structure.
    """
    context = tf.distribute.get_replica_context()
    count = context.num_replicas_in_sync
    if count == 1:
        return tensors
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)
    return tf.nest.map_structure(lambda t: t / count, total)


def all_rows(tensor: tf.Tensor) -> tf.Tensor:
    """The rows of a tensor [N, ...] on all replicas in order, [count * N, ...]; N is static.

    By a sum over replicas, each with its rows in their place and 0 elsewhere: TensorFlow's
    all_gather fails between processes.
    """
    index, count = replica()
    if count == 1:
        return tensor
    placed = tf.scatter_nd([[index]], tensor[None], [count, *tensor.shape])
    context = tf.distribute.get_replica_context()
    rows = context.all_reduce(tf.distribute.ReduceOp.SUM, placed)
    return tf.reshape(rows, [-1, *tensor.shape[1:]])


def weighted_mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """This replica's part of the weighted mean of a global batch; 0 where all weights are 0.

        sum_i weights_i * values_i / sum_i weights_i,  both sums over all replicas

    The mean of the parts over replicas, which is what becomes of a loss and its gradient, is that
    number. Weights are not differentiated.

    Args:
      values: floating [N], of this replica.
      weights: floating [N], at least 0.

    Returns:
      Scalar.
    """
    weights = tf.stop_gradient(weights)
    total = mean_over_replicas(tf.reduce_sum(weights))
    return tf.math.divide_no_nan(tf.reduce_sum(weights * values), total)
