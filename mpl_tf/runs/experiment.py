"""What a run is made of: images, networks, method and optimizers."""

import dataclasses
import os
import tempfile
import zlib

import keras
import numpy as np

from mpl_tf import config, networks
from mpl_tf.data import pipeline, splits, views
from mpl_tf.engine import devices
from mpl_tf.formulas import schedules
from mpl_tf.methods import METHODS


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a run is made of.

    Attributes:
      config: config.Config.
      split: data.splits.Split.
      views: data.views.Views.
      method: engine.method.Method, compiled.
      path: str, the run folder.
      own_path: str, where this process writes: the run folder, or, on a worker that is not the
        chief, a folder that nobody reads.
    """

    config: config.Config
    split: splits.Split
    views: views.Views
    method: keras.Model
    path: str
    own_path: str

    def file(self, *names):
        """A path inside the folder that this process writes to."""
        return os.path.join(self.own_path, *names)

    def batches(self, phase, start, views=None):
        """Training data of a phase from step `start` on.

        Args:
          phase: str, which has batches of its own.
          start: int.
          views: tuple of str, as `unlabeled_views`; None is the method's.

        Returns:
          tf.data.Dataset.
        """
        run = self.config.run
        batch = run.labeled_batch
        if phase == "finetune":
            batch = self.config.optimizer.finetune_batch

        def shard(index_and_count):
            return pipeline.training_batches(
                self.split.labeled,
                self.split.unlabeled,
                labeled_batch=batch,
                unlabeled_batch=run.labeled_batch * run.unlabeled_ratio,
                views=self.method.unlabeled_views if views is None else views,
                weak=self.views.weak,
                strong=self.views.strong,
                seed=derived_seed(run.seed, phase),
                start=start,
                shard=index_and_count,
            )

        return devices.distribute(self.method.distribute_strategy, shard)


def derived_seed(seed, purpose):
    """An independent seed, int in [0, 2**31), for one purpose (str) of a run's seed."""
    key = np.random.SeedSequence([seed, zlib.crc32(purpose.encode())])
    return int(key.generate_state(1)[0] >> 1)


def network(settings, split, role, replicas=1):
    """A freshly initialised network of a run.

    Args:
      settings: config.Config.
      split: data.splits.Split.
      role: "teacher" or "student".
      replicas: int; with several, batch statistics are taken over all of them.

    Returns:
      keras.Model of logits.
    """
    run = settings.run
    name = run.teacher_network if role == "teacher" and run.teacher_network else run.network
    weights = {"weights_file": run.network_weights} if networks.takes_weights(name) else {}
    with networks.precision(settings.compute.precision):
        return networks.find(name)(
            len(split.class_names),
            split.labeled.shape,
            seed=derived_seed(run.seed, role),
            dropout=run.dropout,
            synchronized=replicas > 1,
            **weights,
        )


def build(settings, split, path, strategy=None):
    """Networks, method and optimizers of a run.

    Args:
      settings: config.Config.
      split: data.splits.Split.
      path: str, the run folder.
      strategy: tf.distribute.Strategy; None is the one for a single device.

    Returns:
      Experiment.

    Raises:
      ConfigError: the networks cannot be computed in the way that was asked for.
    """
    run, compute, rates = settings.run, settings.compute, settings.optimizer
    kind, strategy = METHODS[run.method], strategy or devices.current_strategy()
    replicas = strategy.num_replicas_in_sync
    scale = run.labeled_batch / 256

    def optimizer(role):
        rate, warmup = (
            getattr(rates, f"{role}_{what}") for what in ("learning_rate", "warmup_steps")
        )
        wait = rates.student_wait_steps if role == "student" else 0
        schedule = schedules.WarmupCosine(rate * scale, run.steps, wait=wait, warmup=warmup)
        return keras.optimizers.SGD(schedule, momentum=rates.momentum, nesterov=rates.momentum > 0)

    with strategy.scope():
        roles = [name.removesuffix("_optimizer") for name in kind.optimizers]
        built = {role: network(settings, split, role, replicas) for role in roles}
        optimizers = {f"{role}_optimizer": optimizer(role) for role in roles}
    hyperparameters = dataclasses.asdict(settings.method)
    if "index" in kind.unlabeled_views:
        hyperparameters["num_unlabeled"] = pipeline.pool_size(split.unlabeled)
    method = kind(
        **built, seed=derived_seed(run.seed, "method"), strategy=strategy, **hyperparameters
    )
    method.compile(
        **optimizers,
        weight_decay=rates.weight_decay,
        clip_norm=rates.clip_norm or None,
        jit_compile=compute.jit_compile,
        steps_per_execution=compute.steps_per_execution,
        accumulate_steps=compute.accumulate_steps,
        recompute=compute.recompute,
    )
    shown = views.make(settings.data, split.labeled.shape[0])
    own_path = path if devices.is_chief(strategy) else tempfile.mkdtemp()
    return Experiment(settings, split, shown, method, path, own_path)


def make_split(settings, source):
    """The data.splits.Split of a run of a data.dataset.Source."""
    chosen = settings.data
    return splits.split(
        source,
        chosen.num_labeled,
        chosen.num_validation,
        settings.run.seed,
        exclude_labeled=chosen.exclude_labeled,
        ids=splits.read_ids(chosen.split_file) if chosen.split_file else None,
    )
