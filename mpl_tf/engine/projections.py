"""Networks with further outputs, which a method trains beside logits: projections and heads."""

from collections.abc import Sequence

import keras

from mpl_tf.engine.logits import logits_and_features
from mpl_tf.networks import parts as two_parts
from mpl_tf.networks.freezing import layers_with_kernels, set_classifier_trained
from mpl_tf.networks.layers import draws, leaves
from mpl_tf.networks.resized import resized
from mpl_tf.options import ConfigError


def parts(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """(encoder, classifier): images -> features [N, F], and features -> logits [N, K].

    The classifier is the layer that makes logits; both parts have the network's own layers. A model
    inside that makes them, such as a head, is divided likewise.

    Raises:
      ConfigError: that layer cannot be told.
    """
    pair = logits_and_features(network) if getattr(network, "outputs", None) else None
    if pair is None or len(network.output_shape) != 2:
        raise ConfigError(
            "outputs beside logits need a network of logits [N, K] whose last layer can be told, "
            f"such as a Dense; {network.name} hides it, or gives {network.output_shape}."
        )
    logits, features = pair
    history = network.outputs[0]._keras_history
    inside = history.operation
    if isinstance(inside, keras.Model):
        (taken,) = inside._inbound_nodes[history.node_index].input_tensors
        inner, classifier = parts(inside)
        return keras.Model(network.inputs[0], inner(taken), name="encoder"), classifier
    encoder = keras.Model(network.inputs[0], features, name="encoder")
    return encoder, keras.Model(features, logits, name="classifier")


def perceptron(
    inputs: int,
    sizes: Sequence[int],
    *,
    batch_norm: bool,
    synchronized: bool,
    dtype: str,
    seed: int,
    name: str,
) -> keras.Model:
    """Dense layers with ReLU between them.

    Args:
      inputs: numbers of a row.
      sizes: outputs of each layer, the last one without ReLU.
      batch_norm: whether batch normalisation comes before each ReLU.
      synchronized: whether its statistics are those of all replicas.
      dtype: of features, in which layers compute; weights have at least 32 bits.
      seed: of the weights.
      name: of the model.

    Returns:
      keras.Model, [N, inputs] -> [N, sizes[-1]].
    """
    policy = keras.DTypePolicy(f"mixed_{dtype}" if dtype in ("bfloat16", "float16") else dtype)
    rows = first = keras.Input([inputs], dtype=dtype)
    for number, size in enumerate(sizes, 1):
        is_last = number == len(sizes)
        start = keras.initializers.GlorotUniform(seed=seed + number - 1)
        rows = keras.layers.Dense(
            size,
            use_bias=is_last or not batch_norm,
            kernel_initializer=start,
            dtype=policy,
            name=f"dense_{number}",
        )(rows)
        if is_last:
            break
        if batch_norm:
            norm = keras.layers.BatchNormalization(
                synchronized=synchronized, dtype=policy, name=f"norm_{number}"
            )
            rows = norm(rows)
        rows = keras.layers.ReLU(dtype=policy)(rows)
    return keras.Model(first, rows, name=name)


def with_outputs(
    network: keras.Model, *projectors: keras.Model, labels_teach: bool = True
) -> keras.Model:
    """A network with what projectors make of its features beside its logits, [N, K + D].

        [classifier(f), projectors[-1](... projectors[0](f))],  f = encoder(images)

    Args:
      network: functional or Sequential, images -> logits [N, K]; its layers are the new one's, too.
      *projectors: each applied to what the one before gives, the first one to features, flattened.
      labels_teach: whether logits have a gradient by features. Without it the classifier learns
        what features tell of labels, and the labels teach no feature.

    Raises:
      ConfigError: as for `parts`.
    """
    encoder, classifier = parts(network)
    (features,) = encoder.outputs
    projected = keras.layers.Flatten(dtype=projectors[0].inputs[0].dtype)(features)
    for projector in projectors:
        projected = projector(projected)
    logits = classifier(features if labels_teach else keras.ops.stop_gradient(features))
    both = keras.layers.Concatenate(dtype=network.outputs[0].dtype)([logits, projected])
    return keras.Model(network.inputs[0], both, name=f"student_with_{projectors[-1].name}")


def with_linear_head(network: keras.Model, outputs: int, seed: int, name: str) -> keras.Model:
    """A network with a second linear head on the input of its last layer, [N, K + outputs].

        [logits, W features + b]

    Args:
      network: as for `with_outputs`.
      outputs: of the second head.
      seed: of its weights.
      name: of the head.

    Raises:
      ConfigError: as for `parts`.
    """
    head = perceptron(
        width(network),
        [outputs],
        batch_norm=False,
        synchronized=False,
        dtype=network.outputs[0].dtype,
        seed=seed,
        name=name,
    )
    return with_outputs(network, head)


def width(network: keras.Model) -> int:
    """How many numbers a network's features have, flattened."""
    size = 1
    for side in parts(network)[0].output_shape[1:]:
        size *= side
    return size


def beside(*networks: keras.Model) -> keras.Model:
    """Networks that one optimizer trains, as one model of all their inputs and outputs."""
    inputs = [keras.Input(each.input_shape[1:], dtype=each.inputs[0].dtype) for each in networks]
    outputs = [each(rows) for each, rows in zip(networks, inputs, strict=True)]
    return keras.Model(inputs, outputs, name="_and_".join(each.name for each in networks))


def freeze_encoder(network: keras.Model) -> None:
    """Freezes all of a network but the classifier; see `freezing.set_classifier_trained`.

    Dropout just before the classifier lets all pass, as all before it does.

    Raises:
      ConfigError: as there; or the network has a head of several layers, which is not linear.
    """
    set_classifier_trained(network, last_norm=False)
    count = layers_with_kernels(two_parts.head(network)) if two_parts.has_parts(network) else 1
    if count > 1:
        raise ConfigError(
            f"one layer alone is to learn, and the head of {network.name} has {count} layers with "
            "kernels. Take a network with head=linear."
        )
    for layer in leaves(network):
        if layer.trainable_variables:
            return
        if draws(layer):
            layer.rate = 0.0


def on_size(network: keras.Model, size: Sequence[int]) -> keras.Model:
    """A network on images of another (height, width), or itself where it takes its own size alone.

    Both have one set of weights.
    """
    try:
        return resized(network, size)
    except ConfigError:
        return network
