"""The views whose features are cached.

View v of the image at place i of a part of a dataset is a function of the view seed, the sort of
the view, v and i alone: numbers are drawn for chunks of CHUNK images by their places, whatever
images are computed together, and however often the computation is interrupted. Keras layers as
views draw their own numbers.
"""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from mpl_tf.augment import policies
from mpl_tf.augment.draws import Draws
from mpl_tf.features.options import FeatureConfig
from mpl_tf.formulas import random

# Images whose views are drawn, computed and written together; a part of the cache's format.
CHUNK = 64
PLAIN, WEAK, STRONG = "plain", "weak", "strong"
_STREAMS = {PLAIN: 0, WEAK: 1, STRONG: 2}


@dataclasses.dataclass(frozen=True)
class ViewSet:
    """Views of one sort, the same number of each image.

    Attributes:
      name: PLAIN, the images as they are read, WEAK or STRONG.
      policy: how a view is made.
      count: views of each image.
      seed: what they are drawn from.
    """

    name: str
    policy: policies.Policy
    count: int
    seed: int

    @functools.cached_property
    def traced(self) -> Callable[..., tf.Tensor]:
        """`make` as a graph, which is made once: strong views are many operations."""
        # `partial`: TensorFlow warns of the methods of all objects as of one that is traced often.
        return tf.function(functools.partial(self.make), autograph=False)

    def make(self, images: tf.Tensor, chunk: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """One view of each image of a chunk.

        Args:
          images: uint8 [CHUNK, H, W, C].
          chunk: int64 scalar, its number.
          number: int64 scalar, of the view, from 0 to `count` - 1.

        Returns:
          Like `images`.
        """
        key = random.fold_in(random.key(self.seed, _STREAMS[self.name], chunk), number)
        return tf.ensure_shape(self.policy(images, Draws(key, CHUNK)), images.shape)


def view_sets(
    options: FeatureConfig, weak: policies.Policy, strong: policies.Policy
) -> dict[str, ViewSet]:
    """The views of a run, by name. A view that leaves images as they are is the plain one.

    Args:
      options: how many views, and their seed.
      weak, strong: the policies of the run.
    """
    plain = ViewSet(PLAIN, policies.unchanged, 1, 0)
    counts = {WEAK: options.cached_weak_views, STRONG: options.cached_strong_views}
    sets = {PLAIN: plain}
    for name, policy in ((WEAK, weak), (STRONG, strong)):
        drawn = ViewSet(name, policy, counts[name], options.view_seed)
        sets[name] = plain if policy is policies.unchanged else drawn
    return sets
