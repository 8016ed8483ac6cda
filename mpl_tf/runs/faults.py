"""What stopped a run from outside of it, in words: the disk, the memory, images, other workers."""

import dataclasses
import errno
import os

import tensorflow as tf

from mpl_tf import files
from mpl_tf.data import service, stores
from mpl_tf.engine import devices
from mpl_tf.features import cache
from mpl_tf.runs import callbacks, checkpoint

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclasses.dataclass(frozen=True)
class WayOn:
    """What a command says of going on.

    Attributes:
      again: a clause: what the same command does.
      anew: a clause: what there is for other images than those that it began with.
    """

    again: str
    anew: str


def reason(error: BaseException, folder: str, way: WayOn) -> str:
    """What stopped the work and what helps, in words; "" if it is bad input or a mistake of ours.

    Args:
      error: that ended it.
      folder: that it writes to.
      way: how to go on.
    """
    if isinstance(error, callbacks.NonFiniteError):
        return (
            f"{error}.\nThe last good checkpoint, if one was written, lies in the run folder. A "
            "lower learning rate or clip_norm=5 may help."
        )
    if isinstance(error, tf.errors.OpError) and (fault := stores.fault(error)):
        return (
            f"an image cannot be read: {fault}.\npython tools/check_data.py names what is damaged. "
            f"Once that is restored as it was, {way.again}; {way.anew}."
        )
    if isinstance(error, tf.errors.OpError) and (fault := service.fault(error)):
        return (
            f"the data service has no more batches for this training: {fault}\nA dispatcher that "
            "was started again knows nothing of trainings that were under way. See that it and "
            f"its workers run, and {way.again}."
        )
    if isinstance(error, devices.LOST_WORKER):
        return (
            f"another worker is gone ({devices.reason(error)}).\nStart all workers again, and they "
            "continue from the last checkpoint."
        )
    if isinstance(error, checkpoint.CheckpointError | cache.CacheError):
        return str(error)
    if text := _no_room(error):
        return f"{folder} cannot be written: {text}. Make room, and {way.again}."
    if isinstance(error, OSError | tf.errors.OpError) and folder and folder in str(error):
        return f"{folder} cannot be read or written: {error}.\nPut that right, and {way.again}."
    if is_short_of_memory(error):
        return (
            f"there is not enough memory: {files.reason(error)}.\nSmaller images (--image_size), a "
            "smaller network or smaller batches take less."
        )
    return ""


def is_short_of_memory(error: BaseException) -> bool:
    """Whether the memory of a device, or of the process, was too small."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, tf.errors.ResourceExhaustedError) and not _no_room(error)


def is_of_disk(error: BaseException) -> bool:
    """Whether the disk refused something: the error is, or was made from, one of the system's."""
    cause = error.__cause__
    return any(isinstance(each, OSError | tf.errors.OpError) for each in (error, cause))


def _no_room(error: BaseException) -> str:
    """How the system says that the disk is full; "" if it is not that."""
    if isinstance(error, OSError | tf.errors.OpError):  # TensorFlow has only words for it
        return next((text for text in map(os.strerror, _NO_ROOM) if text in str(error)), "")
    return ""
