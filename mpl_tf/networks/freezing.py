"""What of a network is trained: its head, the last layers, all, LoRA's matrices, its classifier."""

import math
import re

import keras
import numpy as np
import tensorflow as tf

from mpl_tf.networks import lora, parts
from mpl_tf.networks.layers import SEED_STATE, all_layers, draws, leaves, variables_of
from mpl_tf.options import ConfigError

FORMS = "all; head; last_N, the head and the backbone's last N layers; or lora_R, of rank R"


def check(train: str) -> None:
    """Raises ConfigError unless `train` is one of FORMS."""
    _parse(train)


def set_trained(
    network: keras.Model, train: str = "all", *, batch_norm: bool = True, seed: int = 0
) -> None:
    """Freezes the backbone of a network but for what is to be trained. The head is always trained.

        head:    nothing of the backbone
        last_N:  from the N-th last layer with a kernel on
        lora_R:  for each kernel W of d inputs and k outputs, W + A B with A [d, R] and B [R, k],
                 A random, B zero, instead of W (Hu et al. 2022, with alpha = R)

    Layers count in the order in which they compute (`layers.all_layers`). Frozen layers do in
    training what they do without: batch normalisation takes its moving statistics, and dropout
    before the first trained layer lets all pass. So does all dropout of a backbone of which nothing
    is trained.

    Args:
      network: of two parts (see `parts`).
      train: one of FORMS.
      batch_norm: whether batch normalisation in trained layers of the backbone is trained;
        otherwise it is frozen everywhere in the backbone.
      seed: of LoRA's matrices.

    Raises:
      ConfigError: it is none of FORMS, nothing of the backbone would be trained although it is to
        be, or a frozen layer does in training what it does not do without: it draws at random in
        another way than dropout does, changes its weights, or gives other features.
    """
    form, number = _parse(train)
    backbone = parts.backbone(network)
    order = leaves(backbone)
    kernels = _places_of_kernels(order)
    first = 0
    if form == "head":
        first = len(order)
    elif form == "last":
        if number > len(kernels):
            raise ConfigError(
                f"train=last_{number} needs as many layers with kernels; the backbone has "
                f"{len(kernels)}. train=all trains all of them."
            )
        first = kernels[-number]
    may_move = form != "all" and _may_move(backbone)
    frozen = _without_trained(backbone, order[first:])
    _freeze(frozen)
    if form == "lora":
        trained = lora.add(order, number, seed)
        frozen = all_layers(backbone)
    else:
        trained = order[first:]
        if not batch_norm:
            for layer in trained:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False
    allowed = {id(v) for layer in trained for v in layer.trainable_variables}
    if form != "all":
        for variable in backbone.trainable_variables:  # those of layers with others inside
            variable.trainable = id(variable) in allowed
    if may_move:
        _check_still(backbone, frozen)
    if form != "head" and not backbone.trainable_variables:
        raise ConfigError(f"train={train} would train no weight of the backbone; take train=head.")


def set_classifier_trained(network: keras.Model, *, last_norm: bool = True) -> None:
    """Freezes a network but for its classifier and the last batch normalisation before it.

    The classifier is the head of a network of two parts, else the last layer with a kernel, with
    the dropout before it. Frozen layers do in training what they do without, as in `set_trained`,
    whatever was frozen before. This is what FixRes trains on images of the size that a network is
    used at: Touvron et al. 2019 (arXiv 1906.06423), section 4.

    Args:
      network: of logits.
      last_norm: whether that batch normalisation is trained, too.

    Raises:
      ConfigError: it has no layer with a kernel, or as in `set_trained`.
    """
    for layer in (network, *all_layers(network)):  # each, as in `remade`
        layer.trainable = True
    order = leaves(network)
    if parts.has_parts(network):
        first = order.index(leaves(parts.head(network))[0])
    else:
        kernels = _places_of_kernels(order)
        if not kernels:
            raise ConfigError(f"{network.name} has no layer with a kernel: there is no classifier.")
        first = kernels[-1]
        while first and all(v.name == SEED_STATE for v in order[first - 1].variables):
            first -= 1
    norms = [layer for layer in order[:first] if isinstance(layer, keras.layers.BatchNormalization)]
    trained = [*(norms[-1:] if last_norm else ()), *order[first:]]
    may_move = _may_move(network)
    frozen = _without_trained(network, trained)
    _freeze(frozen)
    allowed = {id(variable) for layer in trained for variable in layer.trainable_variables}
    for variable in network.trainable_variables:  # those of layers with others inside
        variable.trainable = id(variable) in allowed
    if may_move:
        _check_still(network, frozen, "finetune_part=all")


def _parse(train: str) -> tuple[str, int]:
    if train in ("all", "head"):
        return train, 0
    match = re.fullmatch(r"(last|lora)_([1-9]\d{0,3})", train)
    if match is None:
        raise ConfigError(f"train must be {FORMS}; received {train!r}.")
    return match[1], int(match[2])


def layers_with_kernels(backbone: keras.Model) -> int:
    """The greatest N of `last_N` for a backbone: how many of its layers have a kernel to train."""
    return len(_places_of_kernels(leaves(backbone)))


def _places_of_kernels(order: list[keras.Layer]) -> list[int]:
    return [
        place
        for place, layer in enumerate(order)
        if any(len(variable.shape) > 1 for variable in layer.trainable_variables)
    ]


def _without_trained(backbone: keras.Model, trained: list[keras.Layer]) -> list[keras.Layer]:
    """The layers of a backbone that are none of those that are trained, and have none inside."""
    of_trained = {id(layer) for layer in trained}
    return [
        layer
        for layer in all_layers(backbone)
        if not any(id(each) in of_trained for each in (layer, *all_layers(layer)))
    ]


def _freeze(layers: list[keras.Layer]) -> None:
    """Freezes layers, and their draws."""
    for layer in layers:
        layer.trainable = False
        if not draws(layer):
            continue
        if not hasattr(layer, "rate"):
            raise ConfigError(
                f"the backbone's layer {layer.name!r}, a {type(layer).__name__}, draws at random "
                "in training, and would do so although it is frozen. Save the model without it: "
                "views are made before the network."
            )
        layer.rate = 0.0


def _may_move(backbone: keras.Model) -> bool:
    """Whether a layer of a backbone that is frozen might change its weights in training.

    Those that do so have weights that no gradient trains. Of them, layers of normalisation by
    statistics are known to leave them alone; of layers by others nothing is known.
    """
    usual = (keras.layers.BatchNormalization, keras.layers.Normalization)
    unusual = [layer for layer in all_layers(backbone) if not isinstance(layer, usual)]
    return not all(map(_is_of_keras, unusual)) or any(
        not variable.trainable and variable.name != SEED_STATE
        for layer in unusual
        for variable in variables_of(layer)
    )


def _check_still(
    backbone: keras.Model, frozen: list[keras.Layer], remedy: str = "train=all"
) -> None:
    """Looks whether frozen layers do in training what they do without, by a pass of images.

    Args:
      backbone: or a whole network.
      frozen: its frozen layers.
      remedy: a setting that freezes none.

    Raises:
      ConfigError: one changes its weights, or the features of a backbone that is frozen as a whole
        are others.
    """
    shape = (2, *backbone.input_shape[1:])
    images = np.linspace(0, 255, math.prod(shape)).reshape(shape)
    images = images.astype(backbone.inputs[0].dtype)
    features, values = backbone.stateless_call(
        [variable.value for variable in backbone.trainable_variables],
        [variable.value for variable in backbone.non_trainable_variables],
        images,
        training=True,
    )
    changed = {
        id(variable)
        for variable, value in zip(backbone.non_trainable_variables, values, strict=True)
        if variable.name != SEED_STATE
        and not np.array_equal(*map(tf.convert_to_tensor, (variable.value, value)))
    }
    for layer in frozen:
        if isinstance(layer, keras.Model) or not changed & {id(v) for v in layer.variables}:
            continue
        raise ConfigError(
            f"the backbone's layer {layer.name!r}, a {type(layer).__name__}, changes its weights "
            f"in training, and would do so although it is frozen. Take {remedy}, or save the model "
            "without it."
        )
    if backbone.trainable_variables:
        return
    expected = np.asarray(backbone(images, training=False))
    if not np.allclose(features, expected, rtol=1e-3, atol=1e-3 * np.max(np.abs(expected))):
        others = [layer.name for layer in frozen if not _is_of_keras(layer)]
        raise ConfigError(
            "the backbone gives other features in training than without although it is frozen: a "
            f"layer by others ({', '.join(others)}) does something else in training. Take "
            "train=all, or save the model without it."
        )


def _is_of_keras(layer: keras.Layer) -> bool:
    return type(layer).__module__.startswith("keras")
