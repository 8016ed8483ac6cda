"""A network with further outputs, which a method trains beside its logits."""

import keras

from mpl_tf.engine.logits import logits_and_features


def with_linear_head(
    network: keras.Model, outputs: int, seed: int, name: str
) -> keras.Model | None:
    """A network with a second linear head on the input of its last layer.

        [logits, W features + b]

    Args:
      network: functional or Sequential, of logits [N, K]; its layers are the new one's too.
      outputs: of the second head.
      seed: from which its kernel is drawn.
      name: of the head.

    Returns:
      keras.Model of [N, K + outputs]; None where the network's last layer cannot be told.
    """
    pair = logits_and_features(network)
    if pair is None:
        return None
    logits, features = pair
    dtype = network.outputs[0].dtype
    features = keras.layers.Flatten(dtype=dtype)(features)
    head = keras.layers.Dense(
        outputs,
        dtype=dtype,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        name=name,
    )
    both = keras.layers.Concatenate(dtype=dtype)([logits, head(features)])
    return keras.Model(network.inputs, both, name=f"student_with_{name}")
