"""What stops a run from outside of it is said in words, and a mistake of the program is not."""

import errno
import os

import pytest
import tensorflow as tf

from mpl_tf.features.cache import CacheError
from mpl_tf.options import ConfigError
from mpl_tf.runs import faults
from mpl_tf.runs.callbacks import NonFiniteError
from mpl_tf.runs.checkpoint import CheckpointError

WAY = faults.WayOn("the same command continues", "other images begin anew")
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "f")


def of_tensorflow(kind, message):
    return getattr(tf.errors, kind)(None, None, message)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NonFiniteError("train step 3: loss = nan"), "train step 3: loss = nan.\nThe last good "),
        (
            of_tensorflow("UnavailableError", "Connection\n  reset"),
            "another worker is gone (Connection reset).\nStart all workers again, and",
        ),
        (
            of_tensorflow(
                "NotFoundError",
                "Graph execution error:\n\nFailed to get tasks: Unknown iteration client id 3. The "
                "dispatcher is not configured to be fault tolerant.\n\t [[{{node x}}]] [Op:y]",
            ),
            "the data service has no more batches for this training: Failed to get tasks: Unknown "
            "iteration client id 3. The dispatcher is not configured to be fault tolerant.\nA ",
        ),
        (
            of_tensorflow("UnavailableError", "Failed to connect to the dispatcher at a:1"),
            "the data service has no more batches for this training: Failed to connect",
        ),
        (of_tensorflow("AbortedError", "gone"), "another worker is gone (gone).\nStart all"),
        (CheckpointError("step 3 is gone."), "step 3 is gone."),
        (CacheError("f cannot be written: no room."), "f cannot be written: no room."),
        (
            of_tensorflow("InvalidArgumentError", "assertion failed: a.png is no image [[node x]]"),
            "",
        ),
        (
            of_tensorflow("DataLossError", "corrupted record at 12 in runs/a.tfrecord"),
            "an image cannot be read: corrupted record at 12 in runs/a.tfrecord.\npython "
            "tools/check_data.py names what is damaged. Once that is restored as it was, the same "
            "command continues; other images begin anew.",
        ),
        (
            FULL,
            "runs/a cannot be written: No space left on device. Make room, and the same command "
            "continues.",
        ),
        (
            of_tensorflow("ResourceExhaustedError", "runs/a/f; Disk quota exceeded"),
            "runs/a cannot be written: Disk quota exceeded. Make room, and the same",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "runs/a/f"),
            "runs/a cannot be read or written: [Errno 13] Permission denied: 'runs/a/f'.\nPut that "
            "right, and the same command continues.",
        ),
        (MemoryError(), "there is not enough memory: MemoryError.\nSmaller images (--image_size),"),
        (
            of_tensorflow("ResourceExhaustedError", "OOM when allocating tensor"),
            "there is not enough memory: OOM when allocating tensor.\nSmaller images",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "elsewhere"), ""),
        (ConfigError("steps must be at least 1."), ""),
        (KeyError("a mistake"), ""),
    ],
)
def test_each_fault_has_its_sentence(error, sentence):
    said = faults.reason(error, "runs/a", WAY)
    assert said.startswith(sentence) and bool(said) == bool(sentence)


def from_cause(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "of_memory", "of_disk"),
    [
        (FULL, False, True),
        (MemoryError(), True, False),
        (of_tensorflow("ResourceExhaustedError", "OOM"), True, True),
        (of_tensorflow("ResourceExhaustedError", "f; No space left on device"), False, True),
        (CheckpointError("damaged"), False, False),
        (from_cause(CheckpointError("could not be written"), FULL), False, True),
        (from_cause(ConfigError("steps"), ValueError("x")), False, False),
    ],
)
def test_what_the_memory_and_the_disk_refuse(error, of_memory, of_disk):
    assert faults.is_short_of_memory(error) == of_memory
    assert faults.is_of_disk(error) == of_disk
