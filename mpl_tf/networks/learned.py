"""What is checked of weights that were learned elsewhere."""

import keras
import numpy as np

from mpl_tf.networks.layers import all_layers
from mpl_tf.options import ConfigError


def check(network: keras.Model, name: str) -> None:
    """Looks whether training can start from the weights of a network.

    Args:
      network: any.
      name: of what its weights are from, for messages.

    Raises:
      ConfigError: a weight is not finite, or a layer is quantized.
    """
    for layer in all_layers(network):
        if layer.quantization_mode is not None:
            raise ConfigError(
                f"{name} is quantized: its layer {layer.name!r} has {layer.quantization_mode} "
                "weights, with which training cannot start. Save the model as it is before "
                "quantize()."
            )
    for weight in network.weights:
        value = keras.ops.convert_to_numpy(weight)
        if not np.all(np.isfinite(value.astype(np.float32, copy=False))):
            raise ConfigError(
                f"{name} holds values that are not finite (NaN or infinity) in the weight "
                f"{weight.path}: its training has diverged. Take one saved before that."
            )
