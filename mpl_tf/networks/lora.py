"""LoRA: matrices of low rank that are trained in place of a backbone's kernels."""

import math
from collections.abc import Iterable

import keras

from mpl_tf.console import log
from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.options import ConfigError

# Most matrices that a message names.
_NAMED = 5


def add(layers: list[keras.Layer], rank: int, seed: int) -> list[keras.Layer]:
    """Freezes layers, and adds LoRA's matrices to those that can have them.

    A kernel of d inputs and k outputs has matrices of rank min(R, d, k): with more they would say
    no more than the kernel does.

    Args:
      layers: without others inside.
      rank: R.
      seed: of the matrices A.

    Returns:
      The layers with matrices.

    Raises:
      ConfigError: R is greater than d or k in all kernels, a layer cannot have matrices, or none.
    """
    wrapped, seeds = [], layer_seeds(seed)
    for layer in layers:
        layer.trainable = False
    ranks = {id(each): _full_rank(each) for each in layers if hasattr(each, "enable_lora")}
    if not ranks:
        raise ConfigError(
            f"train=lora_{rank} would train nothing: the backbone has no layer that LoRA can wrap "
            "(Dense, EinsumDense, Embedding, Conv). Take train=last_N or train=all."
        )
    if rank > max(ranks.values()):
        raise ConfigError(
            f"train=lora_{rank} would train more than there is: the greatest rank of a kernel of "
            f"the backbone is {max(ranks.values())}. Take a lower one, or train=all."
        )
    for layer in layers:
        if id(layer) not in ranks:
            continue
        layer.trainable = True
        try:
            layer.enable_lora(
                min(rank, ranks[id(layer)]),
                a_initializer=keras.initializers.HeUniform(seed=next(seeds)),
            )
        except (ValueError, NotImplementedError) as error:
            raise ConfigError(f"train=lora_{rank}, layer {layer.name!r}: {error}") from error
        if getattr(layer, "bias", None) is not None:
            layer.bias.trainable = False
        wrapped.append(layer)
    weights = sum(v.shape.num_elements() for layer in wrapped for v in layer.trainable_variables)
    lower = sum(full < rank for full in ranks.values())
    log.info(
        f"LoRA of rank {rank} wraps {len(wrapped)} layers of the backbone "
        f"({_listed(layer.path for layer in wrapped)}) with {weights:,} weights"
        + (f"; {lower} of a lower rank, the smaller side of their kernel." if lower else ".")
    )
    return wrapped


def _full_rank(layer: keras.Layer) -> int:
    """The greatest rank of a kernel [..., k] as a matrix."""
    kernel = layer.embeddings if hasattr(layer, "embeddings") else layer.kernel
    *inputs, outputs = kernel.shape
    return min(math.prod(inputs), outputs)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
