"""Whether a view that a user brings gives images for images."""

import numpy as np
import tensorflow as tf

from mpl_tf.augment.draws import Draws
from mpl_tf.augment.policies import FromLayer, Policy
from mpl_tf.options import ConfigError

_COUNT = 4
_DARK = 4  # grey levels that a view of noise exceeds, unless its values mean something else


def check_view(name: str, policy: Policy, shape: tuple[int, int, int]) -> None:
    """Runs a policy once, on noise with values 0 to 255.

    Args:
      name: of the view, for the message.
      policy: of the view.
      shape: (height, width, channels) of the images.

    Raises:
      ConfigError: the view has another shape or type, or values of another range.
    """
    noise = np.random.default_rng(0).integers(0, 256, (_COUNT, *shape), np.uint8)
    images, draws = tf.constant(noise), Draws(tf.zeros([2], tf.int64), _COUNT)
    view = policy.output(images) if isinstance(policy, FromLayer) else policy(images, draws)
    view, is_layer = tf.convert_to_tensor(view), isinstance(policy, FromLayer)
    values = view.numpy().astype(np.float32)
    low, high = values.min(), values.max()
    has_range = high > _DARK
    if view.shape == images.shape and has_range and (is_layer or view.dtype == tf.uint8):
        return
    received = (
        f"{name} must give images as it takes them, uint8 with values 0 to 255; of "
        f"{list(images.shape)} it made {view.dtype.name} {list(view.shape)} from {low:g} to "
        f"{high:g}."
    )
    if view.shape == images.shape:
        received += " " + _remedy(is_layer, has_range, low < 0)
    raise ConfigError(received)


def _remedy(is_layer: bool, has_range: bool, is_signed: bool) -> str:
    if is_layer:
        arguments = "127.5, offset=127.5" if is_signed else "255.0"
        return f"If that is black to white, let keras.layers.Rescaling({arguments}) follow."
    scaled = "127.5 * view + 127.5" if is_signed else "255.0 * view"
    return f"Let it return mpl_tf.augment.ops.to_uint8({'view' if has_range else scaled})."
