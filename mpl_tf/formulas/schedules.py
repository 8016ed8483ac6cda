"""Learning rates and weights as functions of the step."""

import math

import keras
import tensorflow as tf


def warmup_cosine(
    step: tf.Tensor | int, peak: float, steps: int, wait: int = 0, warmup: int = 0
) -> tf.Tensor:
    """0 for `wait` steps, then a linear rise to `peak`, then half a cosine down to 0.

        t = step - wait
        t < 0:       0
        t < warmup:  peak * t / warmup
        otherwise:   peak * (1 + cos(pi * (t - warmup) / (steps - wait - warmup))) / 2

    The rise starts at 0, also after a wait: published code that skips it lets the rate jump.

    Loshchilov & Hutter 2017, equation 5, without restarts.

    >>> [round(float(warmup_cosine(t, 1.0, 10, wait=2, warmup=4)), 4) for t in (1, 4, 6, 8, 10)]
    [0.0, 0.5, 1.0, 0.5, 0.0]

    Args:
      step: integer or floating scalar, steps made so far.
      peak: the highest rate.
      steps: the step at which the rate reaches 0; it stays there.
      wait: steps at rate 0.
      warmup: steps of linear rise.

    Returns:
      float32 scalar.
    """
    t = tf.cast(step, tf.float32) - wait
    rise = t / max(warmup, 1)
    fall = tf.clip_by_value((t - warmup) / max(steps - wait - warmup, 1), 0.0, 1.0)
    factor = tf.where(t < warmup, rise, 0.5 * (1 + tf.cos(math.pi * fall)))
    return peak * tf.where(t < 0, 0.0, factor)


@keras.saving.register_keras_serializable(package="mpl_tf")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """`warmup_cosine` as a Keras schedule; arguments as there.

    >>> optimizer = keras.optimizers.SGD(WarmupCosine(0.5, steps=100, warmup=10))
    """

    def __init__(self, peak: float, steps: int, wait: int = 0, warmup: int = 0):
        super().__init__()
        self.peak, self.steps, self.wait, self.warmup = peak, steps, wait, warmup

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        return warmup_cosine(step, self.peak, self.steps, self.wait, self.warmup)

    def get_config(self) -> dict[str, float]:
        return {
            "peak": self.peak,
            "steps": self.steps,
            "wait": self.wait,
            "warmup": self.warmup,
        }


def linear_ramp(step: tf.Tensor | int, ramp_steps: int) -> tf.Tensor:
    """`min(1, step / ramp_steps)`; 1 from the start if `ramp_steps` is 0. A float32 scalar.

    >>> [float(linear_ramp(t, 4)) for t in (0, 1, 4, 9)]
    [0.0, 0.25, 1.0, 1.0]
    """
    if not ramp_steps:
        return tf.constant(1.0)
    return tf.minimum(1.0, tf.cast(step, tf.float32) / ramp_steps)


def gaussian_ramp(step: tf.Tensor | int, ramp_steps: int) -> tf.Tensor:
    """`exp(-5 (1 - t)^2)` with `t = min(1, step / ramp_steps)`: from 0.0067 up to 1.

    Laine & Aila 2017, section 2. A float32 scalar; 1 from the start if `ramp_steps` is 0.

    >>> [round(float(gaussian_ramp(t, 4)), 4) for t in (0, 2, 4)]
    [0.0067, 0.2865, 1.0]
    """
    return tf.exp(-5.0 * (1.0 - linear_ramp(step, ramp_steps)) ** 2)


def cosine_ramp(step: tf.Tensor | int, ramp_steps: int) -> tf.Tensor:
    """`(1 - cos(pi t)) / 2` with `t = min(1, step / ramp_steps)`: from 0 up to 1.

    Berthelot et al. 2022, section 3.3. A float32 scalar; 1 from the start if `ramp_steps` is 0.

    >>> [round(float(cosine_ramp(t, 4)), 4) for t in (0, 1, 2, 4, 9)]
    [0.0, 0.1464, 0.5, 1.0, 1.0]
    """
    return (1.0 - tf.cos(math.pi * linear_ramp(step, ramp_steps))) / 2.0


def training_signal(step: tf.Tensor | int, steps: int, growth: str, num_classes: int) -> tf.Tensor:
    """UDA's training signal annealing: the probability above which labeled images are left out.

        t = step / steps
        linear:  a = t
        log:     a = 1 - exp(-5 t)     early release of the labels
        exp:     a = exp(5 (t - 1))    late release, for the fewest labels
        threshold = a * (1 - 1 / K) + 1 / K

    Xie et al. 2020, appendix on TSA.

    >>> [float(training_signal(t, 10, "linear", 2)) for t in (0, 5, 10)]
    [0.5, 0.75, 1.0]

    Args:
      step: integer scalar, steps made so far.
      steps: at least 1, steps over which the threshold rises to 1 (`log`: to 0.993).
      growth: "linear", "log" or "exp".
      num_classes: K.

    Returns:
      float32 scalar.
    """
    t = tf.minimum(1.0, tf.cast(step, tf.float32) / steps)
    rise = {
        "linear": lambda: t,
        "log": lambda: 1 - tf.exp(-5 * t),
        "exp": lambda: tf.exp(5 * (t - 1)),
    }[growth]()
    return rise * (1 - 1 / num_classes) + 1 / num_classes


def ema_decay(step: tf.Tensor | int, decay: float) -> tf.Tensor:
    """Decay of an exponential moving average while it is young: `min(decay, (1 + t) / (10 + t))`.

    The rule of tf.train.ExponentialMovingAverage with `num_updates`.

    >>> round(float(ema_decay(0, 0.99)), 4), round(float(ema_decay(10_000, 0.99)), 4)
    (0.1, 0.99)

    Args:
      step: integer scalar t, updates made so far.
      decay: in [0, 1), the decay of later steps.

    Returns:
      float32 scalar.
    """
    t = tf.cast(step, tf.float32)
    return tf.minimum(decay, (1 + t) / (10 + t))
