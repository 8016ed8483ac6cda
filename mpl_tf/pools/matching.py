"""Whether the shards of stored predictions are those of a pool's images, each in its place."""

import hashlib

import numpy as np

from mpl_tf.data.dataset import Images
from mpl_tf.options import ConfigError
from mpl_tf.pools import ordered, predictions
from mpl_tf.pools.ordered import Positioned
from mpl_tf.pools.predictions import Predictions


def check(stored: Predictions, pool: Positioned) -> None:
    """Compares the digests that lie beside the probabilities with those of the pool's images.

    Of a stream the first and the last image of each shard are read, and of other pools all digests
    count: the digest of the pool is one of them. Probabilities are not looked at.

    Args:
      stored: predictions of this pool, as its digest tells.
      pool: the images.

    Raises:
      ConfigError: a shard has digests of other images.
    """
    rows = stored.about["rows_per_shard"]
    begins = np.arange(0, len(stored), rows)
    if isinstance(pool, Images):
        told = hashlib.sha256()
        for number in range(stored.shards):
            told.update(np.ascontiguousarray(stored.digests_of_shard(number), "<u8").tobytes())
        if told.hexdigest() == stored.about["images"]:
            return
        positions = np.arange(len(stored))  # to say which one it is
    else:
        ends = np.minimum(begins + rows, len(stored)) - 1
        positions = np.unique(np.concatenate([begins, ends]))
    expected, owners = ordered.digests(pool, positions), positions // rows
    for number in range(stored.shards):
        of_shard = owners == number
        found = stored.digests_of_shard(number)[positions[of_shard] - begins[number]]
        if (found != expected[of_shard]).any():
            file = predictions.file_of(stored.path, "digests", number)
            raise ConfigError(
                f"{file} is damaged, or belongs to another shard: it has digests of other images "
                "than the pool. Remove it and the probs file of its number, and the command that "
                "made them, given again, computes them anew."
            )
