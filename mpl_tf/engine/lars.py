"""LARS: SGD with momentum, whose rate is adapted to each layer, for large batches."""

import numbers
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mpl_tf.options import ConfigError


@keras.saving.register_keras_serializable(package="mpl_tf")
class LARS(keras.optimizers.Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017, arXiv 1708.03888), in SimCLR's form.

    For every variable w of more than one dimension, with its gradient g:

        g <- g + weight_decay * w                                          L2, part of the gradient
        trust = eta * |w| / |g|                  1 where either norm is 0, as for a layer of zeros
        v <- momentum * v + learning_rate * trust * g
        w <- w - v                      nesterov: w - (momentum * v + learning_rate * trust * g)

    Biases and parameters of normalisation, that is variables of one dimension or none, are neither
    decayed nor adapted: for them it is `keras.optimizers.SGD`. The decay is none of Keras's, which
    shrinks weights apart from the gradient; the attribute `weight_decay` of the base class is None,
    and this one is `l2`. Leave the `weight_decay` of a method's `compile` at 0: it would be added
    before, and to biases, too.

    Attributes:
      momentum, nesterov, eta: as passed.
      l2: the argument `weight_decay`.

    >>> LARS(0.3, weight_decay=1e-6).get_config()["eta"]
    0.001
    """

    def __init__(
        self,
        learning_rate: Any = 0.3,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        eta: float = 0.001,
        name: str = "lars",
        **options: Any,
    ):
        """Makes an optimizer without momentum yet.

        Args:
          learning_rate: a number of at least 0, or a schedule of keras.optimizers.schedules.
          momentum: in [0, 1].
          nesterov: whether steps look ahead.
          weight_decay: of the L2 term, at least 0.
          eta: the trust coefficient, over 0.
          name: of the optimizer.
          **options: further ones of keras.optimizers.Optimizer.

        Raises:
          ConfigError: for a value out of range.
        """
        super().__init__(learning_rate=learning_rate, name=name, **options)
        _check("momentum", momentum, "from 0 to 1", lambda x: 0 <= x <= 1)
        _check("weight_decay", weight_decay, "at least 0", lambda x: 0 <= x < float("inf"))
        _check("eta", eta, "over 0", lambda x: 0 < x < float("inf"))
        self.momentum, self.nesterov = float(momentum), bool(nesterov)
        self.l2, self.eta = float(weight_decay), float(eta)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes a momentum of 0 for each variable."""
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(
        self, gradient: Any, variable: keras.Variable, learning_rate: Any
    ) -> None:  # of Keras
        """Moves a variable; see the class."""
        rate, momentum, l2, eta = (
            ops.cast(number, variable.dtype)
            for number in (learning_rate, self.momentum, self.l2, self.eta)
        )
        gradient = ops.cast(gradient, variable.dtype)
        if len(variable.shape) > 1:
            gradient = gradient + l2 * variable
            lengths = _norm(variable), _norm(gradient)
            adapts = ops.logical_and(lengths[0] > 0, lengths[1] > 0)
            trust = eta * lengths[0] / ops.where(adapts, lengths[1], ops.ones_like(lengths[1]))
            rate = rate * ops.where(adapts, trust, ops.ones_like(trust))
        velocity = self.momentums[self._get_variable_index(variable)]
        moved = momentum * velocity + rate * gradient
        self.assign(velocity, moved)
        self.assign_sub(variable, momentum * moved + rate * gradient if self.nesterov else moved)

    def get_config(self) -> dict[str, Any]:
        """What makes an optimizer like this one, without its momentum."""
        own = {"momentum": self.momentum, "nesterov": self.nesterov, "eta": self.eta}
        return super().get_config() | own | {"weight_decay": self.l2}


def _norm(tensor: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(tensor)))


def _check(name: str, value: Any, allowed: str, is_allowed: Any) -> None:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not is_allowed(value):
        raise ConfigError(f"{name} must be a number {allowed}; received {value!r}.")
