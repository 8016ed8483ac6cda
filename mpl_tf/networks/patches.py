"""Images as patches: whether they divide into them, and the tokens of a transformer."""

from typing import Any

import keras

from mpl_tf.options import ConfigError


def check(shape: tuple[int, ...], patch: int, name: str) -> None:
    """Raises ConfigError unless images divide into patches.

    Args:
      shape: (height, width, ...) of the images.
      patch: height and width of a patch in pixels.
      name: of the network, for the message.
    """
    for side in shape[:2]:
        if side % patch:
            below = side - side % patch
            nearest = " or ".join(str(fit) for fit in (below, below + patch) if fit)
            raise ConfigError(
                f"{name} cuts images into patches of {patch} pixels; received images of "
                f"{shape[0]}x{shape[1]}. The nearest --image_size is {nearest}."
            )


@keras.saving.register_keras_serializable(package="mpl_tf")
class Tokens(keras.layers.Layer):
    """A class token before the tokens of patches, and learned positions of all.

        outputs = concat(class_token, inputs) + positions

    Args:
      seed: of the positions, normal with deviation 0.02; the class token begins at zero.
      **kwargs: for keras.layers.Layer.
    """

    def __init__(self, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, input_shape: tuple[int, ...]) -> None:
        _, tokens, width = input_shape
        self.class_token = self.add_weight(
            name="class_token", shape=(1, 1, width), initializer="zeros"
        )
        self.positions = self.add_weight(
            name="positions",
            shape=(1, tokens + 1, width),
            initializer=keras.initializers.RandomNormal(stddev=0.02, seed=self.seed),
        )

    def call(self, inputs: Any) -> Any:
        """[N, T, D] -> [N, T + 1, D]."""
        ops = keras.ops
        first = ops.broadcast_to(self.class_token, (ops.shape(inputs)[0], 1, inputs.shape[-1]))
        return ops.concatenate([first, inputs], axis=1) + self.positions

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of [N, T, D]."""
        batch, tokens, width = input_shape
        return batch, tokens + 1, width

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"seed": self.seed}
