"""Predictions of a run's first teacher on all unlabeled images, in the run folder."""

import os
from collections.abc import Sequence

import numpy as np

from mpl_tf import files
from mpl_tf.console import log
from mpl_tf.engine import devices
from mpl_tf.engine.pool_predictions import DTYPE, ArrayPredictions, Predictions
from mpl_tf.engine.stored_teacher import StoredTeacherMethod
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder
from mpl_tf.runs.callbacks import NonFiniteError
from mpl_tf.runs.checkpoint import CheckpointError
from mpl_tf.runs.experiment import Experiment


def prepare(experiment: Experiment, method: StoredTeacherMethod) -> None:
    """Hands a method its predictions: those that the run was given, or those in its folder.

    Without either they are computed, and put there.

    Of several workers the chief computes.

    Args:
      experiment: the run.
      method: its own, whose teacher is trained, if it has one.

    Raises:
      ConfigError: the file is damaged.
      callbacks.NonFiniteError: the teacher gives NaN or infinity.
      checkpoint.CheckpointError: the file could not be written.
    """
    if experiment.predictions is not None:
        method.take_predictions(experiment.predictions)
        return
    path = os.path.join(experiment.path, folder.PREDICTIONS)
    is_chief = devices.is_chief(method.distribute_strategy)
    if is_chief and not os.path.lexists(path):
        log.info(f"Predictions of the teacher on {method.num_unlabeled:,} unlabeled images ...")
        try:
            with files.whole(path) as partial:
                method.write_predictions(experiment.pool(), partial)
        except ArithmeticError as error:
            raise NonFiniteError(str(error)) from error
        except OSError as error:
            raise CheckpointError(
                f"{path} could not be written: {files.reason(error)}. The checkpoints before it "
                "are as they were: make room, and the same command continues from there."
            ) from error
    devices.wait_for_all(method.distribute_strategy)
    shape = method.num_unlabeled, method.student.output_shape[-1]
    method.take_predictions(read(path, shape))


def read(path: str, shape: Sequence[int]) -> Predictions:
    """Stored predictions, which stay on the disk.

    Args:
      path: of a .npy file.
      shape: (images, classes) that they must have.

    Raises:
      ConfigError: it is no such file.
    """
    try:
        files.check_regular(path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(_damaged(path, files.reason(error))) from error
    if not isinstance(array, np.ndarray) or (array.shape, array.dtype) != (tuple(shape), DTYPE):
        raise ConfigError(_damaged(path, f"it must hold {DTYPE.__name__} of shape {tuple(shape)}"))
    return ArrayPredictions(array)


def _damaged(path, fault):
    return (
        f"{path} is damaged: {fault}. Remove it: the same command computes it anew, of the "
        "teacher that the checkpoints have."
    )
