"""Many small image files at once: which can be decoded, and digests of their content.

`check.examine` says what is wrong with one file, at several times the cost of a small one.
"""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mpl_tf.images import check
from mpl_tf.images.digests import digests_of

_LARGEST_FILE = 1 << 24  # bytes
_LARGEST_IMAGE = 1 << 26  # bytes of memory, which each core may take at once
_SHARE = 16  # of the memory that there is, an image takes one such part at most


def confirm(paths: Sequence[str], sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decodes files side by side, and says of which that was possible.

    Args:
      paths: of image files, [N].
      sizes: int64 [N], their bytes; -1 of a file that is not there.

    Returns:
      (memory, digests): int64 [N], bytes that decoding takes, -1 of a file of which nothing is
      said, since it is damaged, large, no regular file, or a GIF, whose frames must be counted
      first; uint64 [N], as by `digests_of`, 0 where nothing is said.
    """
    memory, digests = np.full(len(paths), -1), np.zeros(len(paths), np.uint64)
    rows = np.flatnonzero((sizes > 0) & (sizes <= _LARGEST_FILE))  # what may never end has 0 bytes
    if len(rows):
        limit = min(check.largest() // _SHARE, _LARGEST_IMAGE)
        with tf.device("CPU"):
            names = tf.constant([os.fsencode(paths[row]) for row in rows.tolist()])
            results = _confirm(names, tf.constant(limit, tf.int64))
        numbers, taken, found = (result.numpy() for result in results)
        good = numbers >= 0
        memory[rows[numbers[good]]], digests[rows[numbers[good]]] = taken[good], found[good]
    return memory, digests


@tf.function(
    input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int64)],
    autograph=False,
)
def _confirm(names, limit):
    """(numbers, memory, digests) of the files that can be decoded, and a last row with -1 first.

    An error in the graph of a file leaves that file out.
    """

    def look(number, name):
        encoded = tf.io.read_file(name)
        fault, pixels = check.look(encoded, limit)
        taken = pixels * check.BYTES
        is_gif = tf.strings.substr(encoded, 0, 3) == "GIF"
        is_good = (fault == "") & (taken <= limit) & ~is_gif
        return tf.where(is_good, number, -1), taken, digests_of([encoded])[0]

    last = tf.constant(-1, tf.int64), tf.constant(0, tf.int64), tf.constant(0, tf.uint64)
    count = tf.size(names, tf.int64)
    data = tf.data.Dataset.from_tensor_slices((tf.range(count), names))
    data = data.map(look, tf.data.AUTOTUNE, deterministic=False).ignore_errors()
    data = data.concatenate(tf.data.Dataset.from_tensors(last))
    return data.batch(count + 1).get_single_element()
