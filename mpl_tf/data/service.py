"""Batches that other machines make: tf.data's service, a dispatcher and workers that it hands work.

Steps are divided into blocks, and each block goes to one worker, whichever asks first. So every
batch is that of its step, and each is made once, but which comes when is no function of anything.
"""

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterable

import tensorflow as tf

from mpl_tf.data.dataset import Images, Pool
from mpl_tf.data.stores import ArrayStore
from mpl_tf.options import ConfigError

_SERVICE = tf.data.experimental.service
_LARGEST_SENT = 1 << 28  # bytes of images that the pipeline carries to each worker
_BLOCK = 64  # steps
_CONNECT, _ANSWER = 5.0, 30.0  # seconds
_ADDRESS = re.compile(r"[^:/\s]+:(\d{1,5})")
_OF_SERVICE = re.compile("iteration client id|dispatcher|data service", re.IGNORECASE)


def check_address(name: str, address: str) -> None:
    """Raises ConfigError unless `address`, the value of `name`, is HOST:PORT."""
    match = _ADDRESS.fullmatch(address)
    if not match or not 0 < int(match[1]) < 1 << 16:
        raise ConfigError(
            f"{name} must be HOST:PORT of a dispatcher, with a port from 1 to 65535; received "
            f"{address!r}."
        )


def check_answers(address: str) -> None:
    """Asks the service for a number, since TensorFlow waits without end for one that is not there.

    Args:
      address: HOST:PORT of its dispatcher.

    Raises:
      ConfigError: nobody answers there, or no worker does.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT).close()
    except OSError as error:
        raise ConfigError(
            f"data_service={address} does not answer: {error.strerror or error}. Start it with "
            f"python tools/data_service.py dispatcher --port={port}, and workers beside it."
        ) from error
    answers: list[int] = []

    def ask():
        numbers = in_blocks(lambda first: tf.data.Dataset.from_tensors(first), 0, address)
        with contextlib.suppress(tf.errors.OpError):  # of a dispatcher that ends meanwhile
            answers.append(int(next(iter(numbers))))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_ANSWER)
    if not answers:
        raise ConfigError(
            f"data_service={address}: no worker of it answers within {_ANSWER:.0f} seconds. Start "
            f"some with python tools/data_service.py worker --dispatcher={address}."
        )


def fault(error: tf.errors.OpError) -> str:
    """Why a training gets no more batches of its service; "" if that is not what happened.

    Args:
      error: that ended it.
    """
    lines = error.message.partition("[[")[0].splitlines()
    return next((line.strip() for line in reversed(lines) if _OF_SERVICE.search(line)), "")


def check_sources(pools: Iterable[Pool | None]) -> None:
    """Refuses images that lie in this process alone and are too many to be sent.

    Raises:
      ConfigError: they are.
    """
    stores = [pool.store for pool in pools if isinstance(pool, Images)]
    held = {id(store): store.nbytes for store in stores if isinstance(store, ArrayStore)}
    if sum(held.values()) > _LARGEST_SENT:
        raise ConfigError(
            f"data_service sends images that are held in memory to its workers, at most "
            f"{_LARGEST_SENT >> 20} MiB; these are {sum(held.values()) >> 20} MiB. It reads "
            "tfrecord:PATTERN, and folder:PATH whose images take more than 2 GiB, from files that "
            "all workers see at the same paths."
        )


def in_blocks(
    from_step: Callable[[tf.Tensor], tf.data.Dataset], start: int, address: str
) -> tf.data.Dataset:
    """What the workers of a service make, of blocks of steps that each of them asks for.

    Nothing but the blocks is divided among workers: a worker that makes a block reads whatever that
    takes. Two sources of one batch would else be divided apart, and images get others' labels.

    Args:
      from_step: the first step, int64 tensor [], -> the batches from there on, of TensorFlow's
        operations alone.
      start: the first step of all.
      address: HOST:PORT of the dispatcher.

    Returns:
      tf.data.Dataset of the batches of `start`, `start + 1`, ..., each once, in no certain order.
    """
    firsts = tf.data.Dataset.range(start, tf.int64.max, _BLOCK)
    data = firsts.flat_map(lambda first: from_step(first).take(_BLOCK))
    made = _SERVICE.distribute(_SERVICE.ShardingPolicy.DYNAMIC, f"grpc://{address}")
    return data.apply(made).prefetch(2)
