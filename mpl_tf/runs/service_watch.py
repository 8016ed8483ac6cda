"""A training that waits for its data service says so: TensorFlow does it without a word."""

import contextlib
import os
import threading
from collections.abc import Iterator

import keras

from mpl_tf.console import log
from mpl_tf.data import service
from mpl_tf.options import ConfigError
from mpl_tf.runs.callbacks import Logs

_PATIENCE = 30.0  # seconds of a step after which the service is asked
_ANSWERED = 300.0  # seconds until it is asked again


class _Steps(keras.callbacks.Callback):
    """Knows how many steps began, and whether one is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.number, self.is_under_way = 0, False

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self.number, self.is_under_way = self.number + 1, True

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.is_under_way = False


@contextlib.contextmanager
def watched(address: str) -> Iterator[list[keras.callbacks.Callback]]:
    """While this lasts, a warning says once of a step that its data service does not answer.

    The step waits inside of TensorFlow, where no signal is heard: the warning says how to end it.

    Args:
      address: HOST:PORT of the dispatcher; "" of a training without a service.

    Yields:
      What `fit` is to call, if anything.
    """
    if not address:
        yield []
        return
    steps, ended = _Steps(), threading.Event()
    thread = threading.Thread(target=_watch, args=(steps, ended, address), daemon=True)
    thread.start()
    try:
        yield [steps]
    finally:
        ended.set()


def _watch(steps: _Steps, ended: threading.Event, address: str) -> None:
    before, told, wait = 0, 0, _PATIENCE
    while not ended.wait(wait):
        number = steps.number if steps.is_under_way else 0
        wait = _PATIENCE
        if number and number == before != told:
            try:
                service.check_answers(address)
                wait = _ANSWERED  # the step is a long one, and to answer is work
            except ConfigError as error:
                if steps.number == number and steps.is_under_way and not ended.is_set():
                    told = number
                    log.warning(
                        f"{error} The training waits for it, and hears no signal in the meantime: "
                        f"kill -9 {os.getpid()} ends it, and the same command continues from the "
                        "last checkpoint."
                    )
        before = number
