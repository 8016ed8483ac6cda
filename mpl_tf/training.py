"""One run from images to export: build, restore, fit, finetune, evaluate, report."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
import time
import zlib

import keras
import numpy as np
import tensorflow as tf

from mpl_tf import (
    config,
    console,
    data,
    distribution,
    metrics_log,
    networks,
    phases,
    results,
    sample_grid,
    schedules,
    workdir,
)
from mpl_tf.data import pipeline, splits, views
from mpl_tf.methods import METHODS


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a run is made of.

    Attributes:
      config: config.Config.
      split: data.splits.Split.
      views: data.views.Views.
      method: methods.base.Method, compiled.
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
                self.split,
                labeled_batch=batch,
                unlabeled_batch=run.labeled_batch * run.unlabeled_ratio,
                views=self.method.unlabeled_views if views is None else views,
                weak=self.views.weak,
                strong=self.views.strong,
                seed=derived_seed(run.seed, phase),
                start=start,
                shard=index_and_count,
            )

        return distribution.distribute(self.method.distribute_strategy, shard)


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
    weights = {"weights_file": run.network_weights} if name.lower().startswith("keras:") else {}
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
    kind, strategy = METHODS[run.method], strategy or distribution.current_strategy()
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
    own_path = path if distribution.is_chief(strategy) else tempfile.mkdtemp()
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


def train_and_evaluate(settings, path, flag_lines, overwrite=False, workers="", worker_index=-1):
    """Runs, or continues, or reports as finished, the run of a folder.

    Args:
      settings: config.Config.
      path: str, the run folder; with several workers, one that all of them see.
      flag_lines: list of str, the configuration as flags, for `run.flags`.
      overwrite: bool, whether to replace a run that is there.
      workers, worker_index: as for distribution.make_strategy.

    Returns:
      dict, the contents of results.json; None on a worker that is not the chief.

    Raises:
      ConfigError: the configuration does not fit the data or the folder; nothing was trained.
      callbacks.NonFiniteError: a loss became NaN or infinite; the last good checkpoint is there.
      checkpoint.CheckpointError: no checkpoint could be read, or one could not be written.
      interruption.Terminated: SIGTERM came, and the run was saved.
    """
    flat, compute = settings.flat(), settings.compute
    if workdir.state(path, flat, overwrite) == "finished":
        return report_finished(path)

    began = time.time()
    if settings.run.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = distribution.make_strategy(compute.strategy, compute.replicas, workers, worker_index)
    config.check_replicas(settings, strategy.num_replicas_in_sync)
    source = data.find(settings.run.dataset, settings.data.data_dir).load(settings.data)
    config.check_data(settings, source)
    split = make_split(settings, source)
    experiment = build(settings, split, path, strategy)  # first: a network may refuse the images
    if not distribution.is_chief(strategy):
        distribution.wait_for_all(strategy)
        with contextlib.suppress(FileNotFoundError):  # decides what is still to be done
            shutil.copy(os.path.join(path, "metrics.csv"), experiment.own_path)
        phases.fit(experiment)
        shutil.rmtree(experiment.own_path)
        return None
    with workdir.lock(path):
        if workdir.prepare(path, flat, flag_lines, overwrite) == "finished":  # in the meantime
            return report_finished(path)
        workdir.write_json(os.path.join(path, "split.json"), split.to_json())
        sample_grid.draw(os.path.join(path, "views.png"), experiment)
        metrics_log.show_setup(path, flat, os.path.join(path, "views.png"))
        if source.skipped:
            console.say(f"{source.skipped} broken files were left out")
        results.announce(experiment)
        distribution.wait_for_all(strategy)
        resumed_at, step = phases.fit(experiment)
        found = {**results.finish(experiment), "seconds": round(time.time() - began, 1)}
        found |= {"seconds_per_step": step and round(step, 5), "resumed_at": resumed_at}
        workdir.write_json(os.path.join(path, "results.json"), found)
    results.summarize(found, path)
    return found


def report_finished(path):
    """The contents of results.json of a finished run, a dict, after saying what they are."""
    console.say(f"This run has finished already; --overwrite would replace it: {path}")
    found = workdir.read_json(os.path.join(path, "results.json"))
    results.summarize(found, path)
    return found
