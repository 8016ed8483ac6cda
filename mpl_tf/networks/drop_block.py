"""DropBlock: dropout of squares of feature maps."""

from typing import Any, final

import keras
import tensorflow as tf


@final
@keras.saving.register_keras_serializable(package="mpl_tf")
class DropBlock(keras.layers.Layer):
    """Zeroes squares of every channel of every image, more of them as training goes on.

        p        = rate * min(passes / steps, 1)                     rate, if steps is 0
        gamma    = p * H * W / (b^2 * (H - b + 1) * (W - b + 1))     b = min(size, H, W)
        corner_x ~ Bernoulli(gamma)     where the square of side b below and right of x is inside
        kept_x   = 0 in the squares of all corners, else 1
        outputs  = inputs * kept / mean(kept)                        the mean of the whole batch

    In use outputs are inputs. Ghiasi et al., NeurIPS 2018, arXiv 1810.12890, algorithm 1, with the
    scale and the schedule of the authors' code (tensorflow/tpu, models/official/resnet). `passes`
    is a weight that is not trained, so that checkpoints hold it: it counts calls in training mode.

    Args:
      rate: in [0, 1), the share of pixels that is dropped at the end, if squares do not overlap.
      size: at least 1, the side of the squares in pixels of the map.
      steps: at least 0, passes over which the share rises from 0.
      seed: of the draws.
      **kwargs: for keras.layers.Layer.
    """

    def __init__(self, rate: float, size: int = 7, steps: int = 0, seed: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate, self.size, self.steps, self.seed = rate, size, steps, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.passes = self.add_weight(
            name="passes", shape=(), initializer="zeros", trainable=False, autocast=False
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[N, H, W, C] -> [N, H, W, C]."""
        if not (training and self.rate):
            return inputs
        passes = tf.convert_to_tensor(self.passes)
        rate = self.rate * (tf.minimum(passes / self.steps, 1.0) if self.steps else 1.0)
        self.passes.assign(passes + 1)
        kept = self._kept(tf.shape(inputs), tuple(inputs.shape[1:3]), rate)
        scale = tf.math.divide_no_nan(1.0, tf.reduce_mean(kept))
        return inputs * tf.cast(kept * scale, inputs.dtype)

    def _kept(self, shape: tf.Tensor, sides: tuple[int, int], rate: tf.Tensor | float) -> tf.Tensor:
        """float32 of a shape, 0 in the squares that are dropped and 1 elsewhere."""
        high, wide = sides
        side = min(self.size, high, wide)
        rows, columns = high - side + 1, wide - side + 1
        gamma = rate * (high * wide / (side**2 * rows * columns))
        drawn = keras.random.uniform((shape[0], rows, columns, shape[3]), seed=self.seed_generator)
        corners = tf.cast(drawn < gamma, tf.float32)
        border = [[0, 0], [side - 1] * 2, [side - 1] * 2, [0, 0]]
        return 1 - tf.nn.max_pool2d(tf.pad(corners, border), side, 1, "VALID")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"rate": self.rate, "size": self.size, "steps": self.steps, "seed": self.seed}
        return super().get_config() | own
