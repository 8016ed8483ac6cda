"""Devices and workers, and training data for them.

Strategies are made here alone. Inside a step, replicas.py talks to the other replicas; the rest of
the library is handed a strategy.
"""

import functools
import os
import urllib.error
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from mpl_tf.engine import cluster
from mpl_tf.engine.replicas import mean_over_replicas
from mpl_tf.options import ConfigError

STRATEGIES = ("auto", "cpu", "gpu", "mirrored", "multi_worker", "tpu")
# What TensorFlow raises on the workers that are left when another one is gone.
LOST_WORKER = (tf.errors.UnavailableError, tf.errors.AbortedError)
# Device files of a machine that TPU chips sit in.
_TPU_FILES = ("/dev/accel0", "/dev/vfio/0")


def check_name(name: str) -> None:
    """Raises ConfigError unless `name` (str) is one that `make_strategy` takes."""
    kind, _, tpu = name.partition(":")
    if kind not in STRATEGIES or (":" in name and (kind != "tpu" or not tpu)):
        raise ConfigError(
            f"strategy must be one of {', '.join(STRATEGIES)} or tpu:NAME; received {name!r}."
        )


def make_strategy(
    name: str, replicas: int = 0, workers: str = "", worker_index: int = -1, stages: int = 1
) -> tf.distribute.Strategy:
    """The tf.distribute strategy behind a `--strategy` name.

    Call it before anything else of TensorFlow: devices and workers cannot be set up later. Called
    again for the same devices or workers it gives the same.

    Args:
      name: "auto", the machine's first GPU if there is one, else the CPU; "cpu"; "gpu", the first
        GPU; "mirrored", all GPUs of the machine; "multi_worker", all GPUs, or the CPU, of several
        processes; "tpu", the TPU of this machine or the one that the environment variable TPU_NAME
        names; "tpu:NAME".
      replicas: int, for "mirrored": how many of the GPUs; without a GPU, into how many logical
        devices the CPU is split. 0 is all GPUs.
      workers: str, for "multi_worker": "host:port,host:port,...", the same on every worker; if
        empty, the environment variable TF_CONFIG has it.
      worker_index: int, the place of this process among `workers`; 0 is the chief.
      stages: int, for "auto", "cpu" and "gpu": into how many stages networks are divided, each on a
        GPU; without a GPU, or with "cpu", on a logical device of the CPU, which is split.

    Returns:
      tf.distribute.Strategy.

    Raises:
      ConfigError: the name is unknown, or the devices are not there; within seconds.
    """
    check_name(name)
    kind, _, tpu = name.partition(":")
    if replicas and kind != "mirrored":
        raise ConfigError(f"replicas is for strategy=mirrored; received strategy={name}.")
    if (workers or worker_index >= 0) and kind != "multi_worker":
        raise ConfigError(
            f"workers and worker_index are for strategy=multi_worker; received strategy={name}."
        )
    gpus = tf.config.list_physical_devices("GPU")
    if kind == "gpu" and not gpus:
        raise ConfigError("strategy=gpu: TensorFlow sees no GPU on this machine.")
    if kind == "mirrored":
        return _of_devices(_mirrored_devices(gpus, replicas))
    if kind == "multi_worker":
        return cluster.join(workers, worker_index)
    if kind == "tpu":
        return _tpu_strategy(tpu)
    if kind == "cpu":
        tf.config.set_visible_devices([], "GPU")
        gpus = []
    if stages > 1 and not gpus:
        split_cpu(stages, f"stages={stages}")
    elif stages > max(len(gpus), 1):
        raise ConfigError(f"stages must be at most the {len(gpus)} GPUs; received {stages}.")
    return tf.distribute.get_strategy()


@functools.cache  # the same again for the same devices
def _of_devices(names):
    return tf.distribute.MirroredStrategy(names)


def _mirrored_devices(gpus, replicas):
    """The devices of a MirroredStrategy; splits the CPU if there is no GPU."""
    if gpus:
        if replicas > len(gpus):
            raise ConfigError(
                f"replicas must be at most the {len(gpus)} GPUs; received {replicas}."
            )
        return tuple(f"GPU:{i}" for i in range(replicas or len(gpus)))
    if not replicas:
        raise ConfigError(
            "strategy=mirrored: TensorFlow sees no GPU on this machine. --replicas=2 would split "
            "the CPU in two, which is no faster but computes the same."
        )
    split_cpu(replicas, "strategy=mirrored")
    return tuple(f"CPU:{i}" for i in range(replicas))


def split_cpu(count: int, purpose: str) -> None:
    """Makes several logical devices of the CPU: no faster, but they compute what GPUs would.

    Call it before anything else of TensorFlow.

    Args:
      count: of devices.
      purpose: what they are for, for the message.

    Raises:
      ConfigError: TensorFlow is in use already, with fewer.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise ConfigError(
                f"{purpose}: TensorFlow is in use already and cannot split the CPU: {error}."
            ) from error


def of_stages(count: int) -> list[str]:
    """Names of the devices for the stages of networks: GPUs if there are any, else logical CPUs.

    Raises:
      ConfigError: there are fewer.
    """
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    number = len(tf.config.list_logical_devices(kind))
    if number < count:
        remedy = ""
        if kind == "CPU":
            remedy = (
                " Without a GPU, call mpl_tf.engine.devices.split_cpu(number, purpose) before "
                "anything else of TensorFlow; --stages of the command line does."
            )
        raise ConfigError(f"stages={count} needs as many {kind}s; TensorFlow has {number}.{remedy}")
    return [f"/{kind}:{place}" for place in range(count)]


@functools.cache  # what is there before is lost when a TPU is set up
def _tpu_strategy(name):
    here = any(os.path.exists(path) for path in _TPU_FILES)
    name = name or os.environ.get("TPU_NAME", "")
    if not name and not here:
        raise ConfigError(
            "strategy=tpu: no TPU was found. Looked for the environment variable TPU_NAME, for the "
            f"device files {' and '.join(_TPU_FILES)}; a TPU elsewhere is --strategy=tpu:NAME."
        )
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name or "local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, urllib.error.URLError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"strategy=tpu: TPU {name or 'local'!r} did not answer: {reason}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def reason(error: tf.errors.OpError) -> str:
    """The first words of one of LOST_WORKER that say something."""
    return " ".join(str(error.message).split())[:200]


def current_strategy() -> tf.distribute.Strategy:
    """The strategy whose scope is entered; outside any scope, the one for a single device."""
    return tf.distribute.get_strategy()


def inside_scope() -> bool:
    """Whether a strategy other than the single-device one is in scope."""
    return tf.distribute.has_strategy()


def several_workers(strategy: tf.distribute.Strategy) -> bool:
    """Whether a strategy runs in several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files; the only process always is."""
    return not several_workers(strategy) or not strategy.cluster_resolver.task_id


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns when all workers have come here."""
    if several_workers(strategy):

        @tf.function
        def meet():
            return strategy.run(lambda: mean_over_replicas(tf.constant(0.0)))

        tf.nest.map_structure(lambda t: t.numpy(), strategy.experimental_local_results(meet()))


def distribute(
    strategy: tf.distribute.Strategy, make: Callable[[tuple[int, int]], tf.data.Dataset]
) -> Any:
    """Training data for the replicas of a strategy.

    Args:
      strategy: tf.distribute.Strategy.
      make: function of (index, count) -> tf.data.Dataset of the index-th of `count` equal shards of
        every global batch, tensors whose first dimension is known and divides by the replicas of
        a worker.

    Returns:
      tf.data.Dataset, or tf.distribute.DistributedDataset if there are several replicas, for `fit`.
    """
    if strategy.num_replicas_in_sync == 1:
        return make((0, 1))

    def of_worker(context):
        workers = context.num_input_pipelines
        data = make((context.input_pipeline_id, workers))
        local = context.num_replicas_in_sync // workers

        def split(batch):  # consecutive elements go to the worker's replicas in turn
            rows = tf.nest.map_structure(
                lambda t: tf.reshape(t, [local, t.shape[0] // local, *t.shape[1:]]), batch
            )
            return tf.data.Dataset.from_tensor_slices(rows)

        if local > 1:
            data = data.flat_map(split).prefetch(2 * local)
        # Of data that might end, TensorFlow hands workers tensors of open shapes.
        return data.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    return strategy.distribute_datasets_from_function(of_worker)
