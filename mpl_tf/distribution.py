"""Devices, and what must be combined over them: the only file that names tf.distribute."""

import tensorflow as tf

STRATEGIES = ("auto", "cpu")


def make_strategy(name):
    """The tf.distribute strategy behind a `--strategy` name.

    Args:
      name: "auto" uses the machine's first GPU if there is one, else the CPU; "cpu" leaves a GPU
        unused.

    Returns:
      tf.distribute.Strategy.

    Raises:
      ValueError: the name is not in STRATEGIES.
    """
    if name not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}; received {name!r}.")
    if name == "cpu":
        tf.config.set_visible_devices([], "GPU")
    return tf.distribute.get_strategy()


def current_strategy():
    """The strategy whose scope is entered; outside any scope, the one for a single device."""
    return tf.distribute.get_strategy()


def inside_scope():
    """Whether a strategy other than the single-device one is in scope."""
    return tf.distribute.has_strategy()


def replica():
    """(index of this replica, number of replicas) inside a step."""
    context = tf.distribute.get_replica_context()
    return context.replica_id_in_sync_group, context.num_replicas_in_sync


def mean_over_replicas(tensors):
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


def apply_reduced(optimizer, gradients, variables):
    """One optimizer step with gradients that are the same on every replica.

    Keras optimizers sum gradients over replicas, so each replica hands in its share.

    Args:
      optimizer: keras.optimizers.Optimizer, built for `variables`.
      gradients: list of tensors, already combined over replicas.
      variables: list of the variables they belong to.
    """
    _, count = replica()
    optimizer.apply([g / count for g in gradients] if count > 1 else gradients, variables)
