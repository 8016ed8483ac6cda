"""What of a network of two parts is trained: its head, the last layers, all, or LoRA's matrices."""

import re
from collections.abc import Iterable

import keras

from mpl_tf.console import log
from mpl_tf.networks import parts
from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.networks.layers import all_layers
from mpl_tf.options import ConfigError

FORMS = "all; head; last_N, the head and the backbone's last N layers; or lora_R, of rank R"
# Most matrices that a message names.
_NAMED = 5


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

    Frozen layers do in training what they do without: batch normalisation takes its moving
    statistics, and dropout before the first trained layer lets all pass. So does all dropout of a
    backbone of which nothing is trained.

    Args:
      network: of two parts (see `parts`).
      train: one of FORMS.
      batch_norm: whether batch normalisation in trained layers of the backbone is trained;
        otherwise it is frozen everywhere in the backbone.
      seed: of LoRA's matrices.

    Raises:
      ConfigError: it is none of FORMS, nothing of the backbone would be trained although it is to
        be, or a frozen layer draws at random in another way than dropout does.
    """
    form, number = _parse(train)
    backbone = parts.backbone(network)
    leaves = _leaves(backbone)
    kernels = _places_of_kernels(leaves)
    first = 0
    if form == "head":
        first = len(leaves)
    elif form == "last":
        if number > len(kernels):
            raise ConfigError(
                f"train=last_{number} needs as many layers with kernels; the backbone has "
                f"{len(kernels)}. train=all trains all of them."
            )
        first = kernels[-number]
    _freeze_before(leaves, first)
    if form == "lora":
        trained = _add_lora(leaves, number, seed)
    else:
        trained = leaves[first:]
        if not batch_norm:
            for layer in trained:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False
    allowed = {id(v) for layer in trained for v in layer.trainable_variables}
    if form != "all":
        for variable in backbone.trainable_variables:  # those of layers with others inside
            variable.trainable = id(variable) in allowed
    if form != "head" and not backbone.trainable_variables:
        raise ConfigError(f"train={train} would train no weight of the backbone; take train=head.")


def _parse(train: str) -> tuple[str, int]:
    if train in ("all", "head"):
        return train, 0
    match = re.fullmatch(r"(last|lora)_([1-9]\d{0,3})", train)
    if match is None:
        raise ConfigError(f"train must be {FORMS}; received {train!r}.")
    return match[1], int(match[2])


def layers_with_kernels(backbone: keras.Model) -> int:
    """The greatest N of `last_N` for a backbone: how many of its layers have a kernel to train."""
    return len(_places_of_kernels(_leaves(backbone)))


def _leaves(network: keras.Model) -> list[keras.Layer]:
    """The layers of a network that have none inside, in order."""
    return [layer for layer in all_layers(network) if not all_layers(layer)]


def _places_of_kernels(leaves: list[keras.Layer]) -> list[int]:
    return [
        place
        for place, layer in enumerate(leaves)
        if any(len(variable.shape) > 1 for variable in layer.trainable_variables)
    ]


def _freeze_before(leaves: list[keras.Layer], first: int) -> None:
    """Freezes layers before the place `first`, and their draws."""
    for layer in leaves[:first]:
        layer.trainable = False
        if not any(v.name == "seed_generator_state" for v in layer.variables):
            continue
        if not hasattr(layer, "rate"):
            raise ConfigError(
                f"the backbone's layer {layer.name!r}, a {type(layer).__name__}, draws at random "
                "in training, and would do so although it is frozen. Save the model without it: "
                "views are made before the network."
            )
        layer.rate = 0.0


def _add_lora(leaves: list[keras.Layer], rank: int, seed: int) -> list[keras.Layer]:
    """Adds LoRA's matrices to the layers that can have them, which are returned."""
    wrapped, seeds = [], layer_seeds(seed)
    for layer in leaves:
        layer.trainable = False
    for layer in leaves:
        if not hasattr(layer, "enable_lora"):
            continue
        layer.trainable = True
        try:
            layer.enable_lora(rank, a_initializer=keras.initializers.HeUniform(seed=next(seeds)))
        except (ValueError, NotImplementedError) as error:
            raise ConfigError(f"train=lora_{rank}, layer {layer.name!r}: {error}") from error
        if getattr(layer, "bias", None) is not None:
            layer.bias.trainable = False
        wrapped.append(layer)
    if not wrapped:
        raise ConfigError(
            f"train=lora_{rank} would train nothing: the backbone has no layer that LoRA can wrap "
            "(Dense, EinsumDense, Embedding, Conv). Take train=last_N or train=all."
        )
    weights = sum(v.shape.num_elements() for layer in wrapped for v in layer.trainable_variables)
    log.info(
        f"LoRA of rank {rank} wraps {len(wrapped)} layers of the backbone "
        f"({_listed(layer.path for layer in wrapped)}) with {weights:,} weights."
    )
    return wrapped


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
