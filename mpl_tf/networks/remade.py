"""Networks made by others, made anew as backbones: for one size of images, with seeded draws."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import layers

from mpl_tf.networks.layers import SEED_STATE, all_layers, from_config
from mpl_tf.networks.parts import BACKBONE
from mpl_tf.options import ConfigError


def backbone(
    features: keras.Model,
    input_shape: tuple[int, ...],
    seeds: Iterator[int],
    synchronized: bool,
    name: str,
    last: keras.Layer | None = None,
) -> keras.Model:
    """A backbone of the layers and weights of a network, for images of one size.

    Images of one channel are repeated for a network of three. Features in maps [N, h, w, F] are
    averaged over the places. Layers compute in Keras's dtype policy if their own is the usual one.
    None is frozen, and LoRA's matrices are in the kernels that they belong to.

    Args:
      features: functional model of one tensor of images; it stays as it is.
      input_shape: (height, width, channels) of the images.
      seeds: for the layers that draw, such as dropout.
      synchronized: whether batch statistics are taken over all replicas.
      name: of the network, for messages.
      last: what is done to the features at the end; None leaves them as they are.

    Returns:
      keras.Model, images [N, H, W, C] -> features [N, F], called `parts.BACKBONE`.

    Raises:
      ConfigError: the network takes other images, or does not give features of them.
    """
    channels = _check_images(features, input_shape, name)
    inputs = keras.Input((*input_shape[:2], channels))
    try:
        remade = keras.models.clone_model(
            features,
            input_tensors=_like(features.input, inputs),
            clone_function=remaker(seeds, synchronized),
            recursive=True,
        )
    except Exception as error:  # whatever a layer raises on images of this size
        raise ConfigError(
            f"{name} cannot be made for images of {_text(input_shape)}: {first_line(error)}"
        ) from error
    copy_weights(features, remade)
    seed_draws(remade, seeds)
    (outputs,) = remade.outputs
    if len(outputs.shape) == 4:
        outputs = _named_apart(layers.GlobalAveragePooling2D(), remade)(outputs)
    if len(outputs.shape) != 2 or outputs.shape[-1] is None:
        raise ConfigError(
            f"{name} must give features of images, [N, F] or maps [N, h, w, F]; received "
            f"{tuple(outputs.shape)}."
        )
    if isinstance(last, layers.UnitNormalization) and outputs.shape[-1] == 1:
        raise ConfigError(
            f"{name} gives one feature, and at unit length that is the same for each image. Save "
            "the model up to a layer of more features."
        )
    if last is not None:
        outputs = _named_apart(last, remade)(outputs)
    if channels != input_shape[-1]:
        grey = keras.Input(input_shape)
        outputs = keras.Model(inputs, outputs)(layers.Concatenate()([grey] * channels))
        inputs = grey
    made = keras.Model(inputs, outputs, name=BACKBONE)
    for layer in all_layers(made):  # each: a value that a model has already reaches none inside it
        layer.trainable = True  # `freezing` decides, whatever was frozen when this was saved
    return made


def _named_apart(layer: keras.Layer, model: keras.Model) -> keras.Layer:
    """A layer that has no name yet which layers of a model have: Keras numbers those of a process.

    The model's were numbered in the process that saved it.
    """
    names = {each.name for each in model.layers}
    while layer.name in names:
        layer.name += "_added"
    return layer


def remaker(seeds: Iterator[int], synchronized: bool) -> Callable[[keras.Layer], keras.Layer]:
    """A function that makes layers anew, without their weights, for `keras.models.clone_model`."""

    def remake(layer: keras.Layer) -> keras.Layer:
        config = _without_lora(with_seeds(layer.get_config(), seeds))
        if isinstance(layer, layers.BatchNormalization):
            config["synchronized"] = synchronized
        policy = getattr(layer, "dtype_policy", None)  # operations of keras.ops have none
        if policy is not None and policy.name == keras.config.floatx():
            config["dtype"] = keras.config.dtype_policy()
        return from_config(type(layer), config)

    return remake


def with_seeds(config: Any, seeds: Iterator[int]) -> Any:
    """A layer's configuration with every `seed` that is None replaced, nested ones included."""
    if isinstance(config, dict):
        return {
            key: next(seeds) if key == "seed" and value is None else with_seeds(value, seeds)
            for key, value in config.items()
        }
    if isinstance(config, list):
        return [with_seeds(value, seeds) for value in config]
    return config


def _without_lora(config: Any) -> Any:
    """A layer's configuration without LoRA, nested ones included."""
    if isinstance(config, dict):
        kept = config.keys() - {"lora_rank", "lora_alpha"}
        return {key: _without_lora(value) for key, value in config.items() if key in kept}
    if isinstance(config, list):
        return [_without_lora(value) for value in config]
    return config


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Gives a network the weights of another one of the same layers, LoRA's in the kernels."""
    merged, matrices = {}, set()
    for layer in all_layers(source):
        if getattr(layer, "lora_enabled", False):
            kernel = "embeddings" if isinstance(layer, layers.Embedding) else "kernel"
            for weight in layer.weights:
                if weight.name == kernel:
                    merged[id(weight)] = getattr(layer, kernel)
                elif weight.name.startswith("lora_"):
                    matrices.add(id(weight))
    target.set_weights([merged.get(id(w), w) for w in source.weights if id(w) not in matrices])
    for layer in all_layers(target):
        if hasattr(layer, "finalize_state"):  # computed of weights, once
            layer.finalize_state()


def seed_draws(network: keras.Model, seeds: Iterator[int]) -> None:
    """Has all that a network draws, such as masks of dropout, begin from seeds."""
    for variable in network.non_trainable_variables:
        if variable.name == SEED_STATE:
            variable.assign([next(seeds), 0])


def first_line(error: Exception) -> str:
    """What an error says, in one short line without a terminal's colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return " ".join(plain.split())[:300] or type(error).__name__


def _check_images(features: keras.Model, input_shape: tuple[int, ...], name: str) -> int:
    """The channels of the network's images; ConfigError unless it takes ours."""
    shape = tuple(features.inputs[0].shape)
    if len(features.inputs) != 1 or len(shape) != 4:
        raise ConfigError(
            f"{name} must take one tensor of images [N, H, W, C]; received "
            f"{[tuple(each.shape) for each in features.inputs]}."
        )
    height, width, channels = shape[1:]
    if (height or input_shape[0], width or input_shape[1]) != tuple(input_shape[:2]):
        size = f"--image_size={height}" if height == width else "images of that size"
        raise ConfigError(
            f"{name} takes images of {height}x{width} pixels; received "
            f"{input_shape[0]}x{input_shape[1]}. Take {size}."
        )
    channels = channels or input_shape[-1]
    if input_shape[-1] not in (1, channels):
        raise ConfigError(
            f"{name} takes images of {channels} channels; received {input_shape[-1]}."
        )
    return channels


def _like(structure: Any, tensor: keras.KerasTensor) -> Any:
    """One tensor in a structure of one."""
    return keras.tree.map_structure(lambda _: tensor, structure)


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
