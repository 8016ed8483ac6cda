"""The size of the images that networks are evaluated on, where it is not that of training."""

from collections.abc import Mapping
from typing import final

import keras

from mpl_tf.engine.pipeline import Pipeline
from mpl_tf.networks.resized import resized


@final
class EvaluationSize:
    """Networks for images of one size, of those for another, whose weights they share.

    Args:
      side: of the images in pixels; None: networks are as they are.
      pipeline: of networks that are divided over devices; None if each is on one.
    """

    def __init__(self, side: int | None = None, pipeline: Pipeline | None = None):
        self.side, self._pipeline = side, pipeline
        self._made: dict[int, tuple[keras.Model, keras.Model]] = {}  # id -> (trained, evaluated)

    def of_all(self, networks: Mapping[str, keras.Model]) -> dict[str, keras.Model]:
        """Networks by role, for images of that size.

        Raises:
          ConfigError: one cannot be used on them.
        """
        if self.side is None:
            return {**networks}
        return {role: self._of(self.side, role, network) for role, network in networks.items()}

    def _of(self, side: int, role: str, network: keras.Model) -> keras.Model:
        if id(network) not in self._made:
            name = f"eval_image_size={side}: {role} ({network.name})"
            evaluated = resized(network, (side, side), name)
            if self._pipeline is not None and evaluated is not network:
                self._pipeline.follow(evaluated, network)
            self._made[id(network)] = network, evaluated
        return self._made[id(network)][1]
