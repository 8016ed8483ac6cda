"""One run from images to export: build, restore, fit, finetune, evaluate, report."""

import dataclasses
import os
import time
import zlib

import keras
import numpy as np

from mpl_tf import (
    callbacks,
    config,
    console,
    data,
    diagnostics,
    distribution,
    networks,
    results,
    sample_grid,
    schedules,
    workdir,
)
from mpl_tf.checkpoint import Checkpoints
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
    """

    config: config.Config
    split: splits.Split
    views: views.Views
    method: keras.Model
    path: str

    def file(self, *names):
        """A path inside the run folder."""
        return os.path.join(self.path, *names)

    def batches(self, phase, start):
        """Training data of a phase from step `start` on; only "train" sees unlabeled images."""
        run = self.config.run
        batch = run.labeled_batch
        if phase == "finetune":
            batch = self.config.optimizer.finetune_batch
        return pipeline.training_batches(
            self.split,
            labeled_batch=batch,
            unlabeled_batch=run.labeled_batch * run.unlabeled_ratio,
            views=self.method.unlabeled_views if phase == "train" else (),
            weak=self.views.weak,
            strong=self.views.strong,
            seed=derived_seed(run.seed, phase),
            start=start,
        )


def derived_seed(seed, purpose):
    """An independent seed, int in [0, 2**31), for one purpose (str) of a run's seed."""
    key = np.random.SeedSequence([seed, zlib.crc32(purpose.encode())])
    return int(key.generate_state(1)[0] >> 1)


def network(settings, split, role):
    """A freshly initialised network of a run.

    Args:
      settings: config.Config.
      split: data.splits.Split.
      role: "teacher" or "student".

    Returns:
      keras.Model of logits.
    """
    run = settings.run
    name = run.teacher_network if role == "teacher" and run.teacher_network else run.network
    weights = {"weights_file": run.network_weights} if name.lower().startswith("keras:") else {}
    return networks.find(name)(
        len(split.class_names),
        split.labeled.shape,
        seed=derived_seed(run.seed, role),
        dropout=run.dropout,
        **weights,
    )


def build(settings, split, path):
    """Networks, method and optimizers of a run.

    Args:
      settings: config.Config.
      split: data.splits.Split.
      path: str, the run folder.

    Returns:
      Experiment.
    """
    run, rates = settings.run, settings.optimizer
    kind, strategy = METHODS[run.method], distribution.make_strategy(run.strategy)
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
        built = {role: network(settings, split, role) for role in roles}
        optimizers = {f"{role}_optimizer": optimizer(role) for role in roles}
    hyperparameters = dataclasses.asdict(settings.method)
    method = kind(
        **built, seed=derived_seed(run.seed, "method"), strategy=strategy, **hyperparameters
    )
    method.compile(**optimizers, weight_decay=rates.weight_decay, clip_norm=rates.clip_norm or None)
    shown = views.make(settings.data, split.labeled.shape[0])
    return Experiment(settings, split, shown, method, path)


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


def train_and_evaluate(settings, path, flag_lines, overwrite=False):
    """Runs, or continues, or reports as finished, the run of a folder.

    Args:
      settings: config.Config.
      path: str, the run folder.
      flag_lines: list of str, the configuration as flags, for `run.flags`.
      overwrite: bool, whether to replace a run that is there.

    Returns:
      dict, the contents of results.json.

    Raises:
      ConfigError: the configuration does not fit the data or the folder; nothing was trained.
      callbacks.NonFiniteError: a loss became NaN or infinite; the last good checkpoint is there.
    """
    flat, results_file = settings.flat(), os.path.join(path, "results.json")
    if workdir.state(path, flat, overwrite) == "finished":
        console.say(f"This run has finished already; --overwrite would replace it: {path}")
        found = workdir.read_json(results_file)
        results.summarize(found, path)
        return found

    began = time.time()
    source = data.find(settings.run.dataset, settings.data.data_dir).load(settings.data)
    config.check_data(settings, source)
    split = make_split(settings, source)
    experiment = build(settings, split, path)  # first: a network may refuse the images
    workdir.prepare(path, flat, flag_lines, overwrite)
    workdir.write_json(os.path.join(path, "split.json"), split.to_json())
    sample_grid.draw(os.path.join(path, "views.png"), experiment)
    if source.skipped:
        console.say(f"{source.skipped} broken files were left out")
    results.announce(experiment)
    resumed_at = fit(experiment)
    found = {**results.finish(experiment), "seconds": round(time.time() - began, 1)}
    found["resumed_at"] = resumed_at
    workdir.write_json(results_file, found)
    results.summarize(found, path)
    return found


def fit(experiment):
    """All phases of a run, each from its newest checkpoint in the run folder.

    Returns:
      str, the phase and step it continued from, or None for a run that started at the beginning.
    """
    method, run = experiment.method, experiment.config.run
    phases = {**method.preparations(), "train": method}
    names = [name for engine in phases.values() for name in engine.train_metrics]
    watched = (*method.networks, "finetuned") if experiment.split.validation else ()
    for network in watched:
        names += [f"val_{network}_accuracy", f"val_{network}_cross_entropy"]
    class_names = experiment.split.class_names if method.unlabeled_views else None
    log = callbacks.MetricsLog(experiment.path, [*names, "finetuned_loss"], class_names)
    continued = [
        run_phase(experiment, engine, phase, run.steps, log) for phase, engine in phases.items()
    ]
    if run.finetune_steps:
        rate = experiment.config.optimizer.finetune_learning_rate
        with method.distribute_strategy.scope():
            optimizer = keras.optimizers.SGD(rate)
        tuning = method.prepare_finetuning(optimizer, clip_norm=method.clip_norm)
        continued.append(run_phase(experiment, tuning, "finetune", run.finetune_steps, log))
    log.close()
    started = [place for place in continued if place]
    return started[-1] if started else None


def run_phase(experiment, engine, phase, total, log):
    """Fits an engine from its newest checkpoint to step `total`.

    Args:
      experiment: Experiment.
      engine: methods.engine.Engine, compiled.
      phase: str, "train", "finetune" or the name of a preparation.
      total: int, steps of the phase.
      log: callbacks.MetricsLog.

    Returns:
      str, the phase and step it continued from, or None.
    """
    run, validation = experiment.config.run, experiment.split.validation
    checkpoints = Checkpoints(engine, experiment.file("checkpoints", phase))
    restored = taken = checkpoints.restore()
    log.rewind(phase, taken)
    if restored:
        console.say(f"{phase}: continuing after step {restored} of {total}")
    # Whole stretches between evaluations first, then what is left of the steps.
    stretches, rest = divmod(total - taken, run.eval_every)
    for count, length in ((stretches, run.eval_every), (1, rest)):
        if count and length:
            engine.fit(
                experiment.batches(phase, taken),
                steps_per_epoch=length,
                epochs=count,
                verbose=console.bar_mode(),
                validation_data=pipeline.evaluation_batches(validation) if validation else None,
                callbacks=[
                    callbacks.StopOnNonFinite(phase, taken),
                    callbacks.LogMetrics(log, phase, run.log_every, taken),
                    collapse_warning(experiment, taken),
                    callbacks.Progress(phase, total, taken),
                    callbacks.SaveCheckpoint(checkpoints, taken),
                ],
            )
            taken += count * length
    return f"{phase} step {restored}" if restored else None


def collapse_warning(experiment, start):
    """A diagnostics.WarnOfCollapse for this run, from step `start` on."""
    settings, class_names = experiment.config, experiment.split.class_names
    counts = np.bincount(experiment.split.labeled.labels, minlength=len(class_names))
    return diagnostics.WarnOfCollapse(
        settings.run.log_every,
        class_names,
        counts / counts.sum(),
        start=start,
    )
