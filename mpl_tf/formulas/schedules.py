"""Learning rates and weights as functions of the step."""

import math

import keras
import tensorflow as tf


def warmup_cosine(step, peak, steps, wait=0, warmup=0):
    """0 for `wait` steps, then a linear rise to `peak`, then half a cosine down to 0.

        t = step - wait
        t < 0:       0
        t < warmup:  peak * t / warmup
        otherwise:   peak * (1 + cos(pi * (t - warmup) / (steps - wait - warmup))) / 2

    The rise starts at 0, also after a wait: published code that skips it lets the rate jump.

    Args:
      step: integer or floating scalar tensor, steps taken so far.
      peak: float, the highest rate.
      steps: int, the step at which the rate reaches 0; it stays there.
      wait: int, steps at rate 0.
      warmup: int, steps of linear rise.

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
    """`warmup_cosine` as a Keras schedule; arguments as there."""

    def __init__(self, peak, steps, wait=0, warmup=0):
        super().__init__()
        self.peak, self.steps, self.wait, self.warmup = peak, steps, wait, warmup

    def __call__(self, step):
        return warmup_cosine(step, self.peak, self.steps, self.wait, self.warmup)

    def get_config(self):
        return {
            "peak": self.peak,
            "steps": self.steps,
            "wait": self.wait,
            "warmup": self.warmup,
        }


def linear_ramp(step, ramp_steps):
    """`min(1, step / ramp_steps)`; 1 from the start if `ramp_steps` is 0. A float32 scalar."""
    if not ramp_steps:
        return tf.constant(1.0)
    return tf.minimum(1.0, tf.cast(step, tf.float32) / ramp_steps)


def gaussian_ramp(step, ramp_steps):
    """`exp(-5 (1 - t)^2)` with `t = min(1, step / ramp_steps)`: from 0.0067 up to 1.

    Laine & Aila 2017, section 2. A float32 scalar; 1 from the start if `ramp_steps` is 0.
    """
    return tf.exp(-5.0 * (1.0 - linear_ramp(step, ramp_steps)) ** 2)


def training_signal(step, steps, kind, num_classes):
    """UDA's training signal annealing: the probability above which labeled images are left out.

        t = step / steps
        linear:  a = t
        log:     a = 1 - exp(-5 t)     early release of the labels
        exp:     a = exp(5 (t - 1))    late release, for the fewest labels
        threshold = a * (1 - 1 / K) + 1 / K

    Xie et al. 2020, appendix on TSA.

    Args:
      step: integer scalar tensor, steps taken so far.
      steps: int, at least 1, steps over which the threshold rises to 1 (`log`: to 0.993).
      kind: "linear", "log" or "exp".
      num_classes: int, K.

    Returns:
      float32 scalar.
    """
    t = tf.minimum(1.0, tf.cast(step, tf.float32) / steps)
    rise = {
        "linear": lambda: t,
        "log": lambda: 1 - tf.exp(-5 * t),
        "exp": lambda: tf.exp(5 * (t - 1)),
    }[kind]()
    return rise * (1 - 1 / num_classes) + 1 / num_classes


def ema_decay(step, decay):
    """Decay of an exponential moving average while it is young: `min(decay, (1 + t) / (10 + t))`.

    Args:
      step: integer scalar t, averages taken so far.
      decay: float in [0, 1), the decay of later steps.

    Returns:
      float32 scalar.
    """
    t = tf.cast(step, tf.float32)
    return tf.minimum(decay, (1 + t) / (10 + t))
