"""What loss scaling pushes out of the range of its numbers: counted, and warned of if it is all."""

from collections.abc import Callable, Mapping
from typing import final

import keras
import tensorflow as tf

from mpl_tf.console import log
from mpl_tf.engine import update


@final
class Overflow(keras.callbacks.Callback):
    """Counts the numbers and the updates that overflow, and warns where all of them do.

    A scaled loss can overflow anywhere between the loss and its gradient. Keras then leaves the
    update out and halves the scale; other numbers made of such a gradient count as 0. Shares of
    both are logged, of optimizers that scale losses alone. Where a share is 1 over an epoch of
    `fit`, a warning says so, once for each share.

    Args:
      log_values: takes scalars by name, as Trainer.log does.
    """

    def __init__(self, log_values: Callable[..., None]):
        super().__init__()
        self._log_values = log_values
        self._roles: dict[int, str] = {}
        self._shares: dict[str, str] = {}  # logged name -> what it is a share of
        self._warned: set[str] = set()

    def watch(self, optimizer: keras.optimizers.Optimizer, role: str) -> None:
        """Has `count_update` log the updates of an optimizer as those of `role`."""
        self._roles[id(optimizer)] = role

    def finite(
        self, tensor: tf.Tensor, optimizer: keras.optimizers.Optimizer, name: str
    ) -> tf.Tensor:
        """A tensor with 0 where it is not finite, the share of which is logged.

        Args:
          tensor: floating, made of a gradient of a loss that `optimizer` scales.
          optimizer: any; without loss scaling the tensor stays as it is.
          name: of what the tensor holds, in the plural; the share is logged as `<name>_overflown`.
            "" logs nothing, where another share says it.
        """
        if update.scale_of(optimizer) is None:
            return tensor
        finite = tf.math.is_finite(tensor)
        if name:
            self._log_share(f"{name}_overflown", ~finite, name)
        return tf.where(finite, tensor, tf.zeros_like(tensor))

    def count_update(
        self, optimizer: keras.optimizers.Optimizer, gradient: list[tf.Tensor]
    ) -> None:
        """Logs whether the optimizer will leave this update out, as `<role>_updates_overflown`."""
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            role = self._roles[id(optimizer)]
            finite = [tf.reduce_all(tf.math.is_finite(g)) for g in gradient]
            overflown = ~tf.reduce_all(tf.stack(finite))
            self._log_share(f"{role}_updates_overflown", overflown, f"updates of the {role}")

    def _log_share(self, logged_name, overflown, name):
        self._shares[logged_name] = name
        self._log_values(**{logged_name: tf.reduce_mean(tf.cast(overflown, tf.float32))})

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        for logged_name, name in self._shares.items():
            if (logs or {}).get(logged_name) == 1 and logged_name not in self._warned:
                self._warned.add(logged_name)
                log.warning(
                    f"\nWarning: all {name} overflow at this loss scale and have no effect "
                    f"({logged_name} is 1). If that goes on, compute in bfloat16 or float32, or "
                    "start from a smaller scale: "
                    "keras.optimizers.LossScaleOptimizer(..., initial_scale=...)."
                )
