"""The processes that train together: where they are, and the strategy that joins them."""

import functools
import json
import os

import tensorflow as tf

from mpl_tf.console import log
from mpl_tf.options import ConfigError


def join(workers: str, index: int) -> tf.distribute.Strategy:
    """The strategy of several processes, when all of them are there; the same if called again.

    Args:
      workers: "host:port,host:port,...", the same on every worker; if empty, the environment
        variable TF_CONFIG has it.
      index: the place of this process among them.

    Raises:
      ConfigError: these are none, or TensorFlow is in use already.
    """
    return _joined(*_cluster(workers, index))


@functools.cache  # a process joins the others once
def _joined(addresses, index):
    cluster = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(addresses)}),
        task_type="worker",
        task_id=index,
        rpc_layer="grpc",
    )
    log.info(f"Worker {index} of {len(addresses)}: waiting for the others ...")
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=cluster)
    except RuntimeError as error:
        raise ConfigError(
            "strategy=multi_worker: TensorFlow is in use already and cannot join other workers: "
            f"{error}. Call mpl_tf.engine.devices.make_strategy before anything else of it; the "
            "command line does."
        ) from error


def _cluster(workers, index):
    """(addresses, place of this process among them), from flags or from TF_CONFIG."""
    if not workers:
        if index >= 0:
            raise ConfigError("worker_index needs --workers=host:port,host:port.")
        workers, index = _tf_config()
    else:
        workers = workers.split(",")
    addresses = [worker.rpartition(":") for worker in workers]
    if len(set(workers)) < len(workers) or not all(
        host and port.isdecimal() and 0 < int(port) < 1 << 16 for host, _, port in addresses
    ):
        raise ConfigError(
            "workers must be different host:port, joined by commas, with ports from 1 to 65535; "
            f"received {workers}."
        )
    if not 0 <= index < len(workers):
        raise ConfigError(
            f"worker_index must be from 0 to {len(workers) - 1} for {len(workers)} workers; "
            f"received {index}."
        )
    return tuple(workers), index


def _tf_config():
    """(workers, index) of the environment variable TF_CONFIG."""
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        raise ConfigError(
            "strategy=multi_worker needs --workers=host:port,host:port and --worker_index, or the "
            "environment variable TF_CONFIG; neither is set."
        )
    try:
        cluster = json.loads(text)
        workers, task = cluster["cluster"]["worker"], cluster["task"]
        if set(cluster["cluster"]) != {"worker"} or task["type"] != "worker":
            raise ValueError("every task must be of type worker")
        return [str(w) for w in workers], int(task["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            'TF_CONFIG must be like {"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
            f'"worker", "index": 0}}}}; received {text!r} ({error}).'
        ) from error
