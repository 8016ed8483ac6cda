"""The two parts of a network: the backbone, which makes features of images, and the head.

A network of two parts is a functional model of two nested ones, in this order: `BACKBONE`, images
[N, H, W, C] with values 0 to 255 -> features [N, F], and `HEAD`, features -> logits [N, K].
"""

import keras

BACKBONE, HEAD = "backbone", "head"


def join(backbone: keras.Model, head: keras.Model, name: str = "network") -> keras.Model:
    """The network of two parts, which keep their weights.

        logits = head(backbone(images))

    Args:
      backbone: images [N, H, W, C] -> features [N, F], called `BACKBONE`.
      head: features [N, F] -> logits [N, K], called `HEAD`.
      name: of the network.

    Returns:
      keras.Model, images -> logits.

    Raises:
      ValueError: a part has another name, or they do not fit together.
    """
    for part, expected in ((backbone, BACKBONE), (head, HEAD)):
        if part.name != expected:
            raise ValueError(f"a part must be called {expected!r}; received {part.name!r}.")
    features, taken = backbone.output_shape, head.input_shape
    if features != taken:
        raise ValueError(f"the head takes features of shape {taken}; received {features}.")
    inputs = keras.Input(backbone.input_shape[1:], dtype=backbone.inputs[0].dtype)
    return keras.Model(inputs, head(backbone(inputs)), name=name)


def has_parts(network: keras.Model) -> bool:
    """Whether a network is made of a backbone and a head, and of nothing else."""
    operations = getattr(network, "operations", network.layers)  # also those that are no layers
    made_of = [each for each in operations if not isinstance(each, keras.layers.InputLayer)]
    return [each.name for each in made_of] == [BACKBONE, HEAD] and all(
        isinstance(each, keras.Model) for each in made_of
    )


def backbone(network: keras.Model) -> keras.Model:
    """The first part of a network of two, images [N, H, W, C] -> features [N, F]."""
    return network.get_layer(BACKBONE)


def head(network: keras.Model) -> keras.Model:
    """The second part of a network of two, features [N, F] -> logits [N, K]."""
    return network.get_layer(HEAD)
