"""The phases of a run, each from its newest checkpoint to its last step."""

import contextlib
import os
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from mpl_tf import console, signals
from mpl_tf.console import log
from mpl_tf.data import pipeline
from mpl_tf.engine import devices
from mpl_tf.engine.self_supervised import SelfSupervisedMethod
from mpl_tf.engine.stored_teacher import StoredTeacherMethod
from mpl_tf.engine.trainer import Trainer
from mpl_tf.runs import (
    callbacks,
    collapse,
    encoders,
    folder,
    head_start,
    metrics_log,
    progress,
    service_watch,
    stored_predictions,
)
from mpl_tf.runs.building import finetuning_phase
from mpl_tf.runs.checkpoint import Checkpoints
from mpl_tf.runs.experiment import Experiment


def fit(experiment: Experiment) -> tuple[str | None, float | None]:
    """All phases of a run, each from its newest checkpoint in the run folder.

    Returns:
      (resumed_at, seconds_per_step): the phase and step it continued from, None for a run that
      started at the beginning; and the median time of a step of training, None if none of
      its steps was left to take.
    """
    method, run = experiment.method, experiment.config.run
    trainers = {**method.pretraining_phases(), folder.TRAIN: method}
    class_names = experiment.split.class_names if method.unlabeled_views else None
    metrics = metrics_log.MetricsLog(experiment.output_path, class_names)
    timer = callbacks.StepTimer()
    resumed = []
    with contextlib.closing(metrics):
        if experiment.pretraining is not None:
            first = experiment.pretraining
            total = first.config.run.steps
            resumed.append(run_phase(first, first.method, folder.PRETRAIN, total, metrics))
            encoders.hand_over(first.method, method)
            encoders.keep(first)
        while trainers:
            phase = next(iter(trainers))
            if phase == folder.TRAIN and isinstance(method, StoredTeacherMethod):
                stored_predictions.prepare(experiment, method)
            timed = [timer] if phase == folder.TRAIN else []
            # Of what comes before nothing is held: its networks may be let go of.
            resumed.append(
                run_phase(experiment, trainers.pop(phase), phase, run.steps, metrics, timed)
            )
        if run.finetune_steps:
            tuning = finetuning_phase(experiment.config, method)
            steps = run.finetune_steps
            resumed.append(run_phase(experiment, tuning, folder.FINETUNE, steps, metrics))
        if isinstance(method, SelfSupervisedMethod):
            encoders.keep(experiment)
    last = [phase_and_step for phase_and_step in resumed if phase_and_step]
    return last[-1] if last else None, timer.median()


def run_phase(
    experiment: Experiment,
    trainer: Trainer,
    phase: str,
    total: int,
    metrics: metrics_log.MetricsLog,
    timers: Sequence[keras.callbacks.Callback] = (),
) -> str | None:
    """Fits a trainer from its newest checkpoint to step `total`.

    Args:
      experiment: the run.
      trainer: compiled.
      phase: `folder.TRAIN`, `folder.FINETUNE` or the name of a phase before training.
      total: steps of the phase.
      metrics: gets the phase's rows.
      timers: called as soon as the numbers of a step are there.

    Returns:
      The phase and step it continued from, or None.
    """
    run, images = experiment.config.run, experiment.evaluated.validation
    validation = None
    if images:
        validation = pipeline.evaluation_batches(experiment.seen(images), padded=True)
    checkpoints = Checkpoints(
        trainer,
        os.path.join(experiment.path, folder.CHECKPOINTS, phase),
        keep=run.keep_checkpoints,
        write_to=experiment.file(folder.CHECKPOINTS, phase),
    )
    restored = step = checkpoints.restore(total)
    is_chief = devices.is_chief(trainer.distribute_strategy)
    metrics.rewind(phase, step)
    since_evaluation = step % run.eval_every if step < total else 0
    continue_row: list[keras.callbacks.Callback] = []
    if restored:
        log.info(f"{phase}: continuing after step {restored} of {total}")
        if images and not since_evaluation and not metrics.has_evaluation(phase, step):
            values = trainer.evaluate(validation, return_dict=True, verbose=0)
            values = {f"val_{name}": value for name, value in values.items()}
            metrics.write(phase, step, values)
            callbacks.check_finite(phase, step, values)
        if since_evaluation and step % run.log_every:
            continue_row = [callbacks.ContinueWindow(trainer)]
    # One for all calls of `fit`: it warns once.
    warning = collapse_warning(experiment, total, step)
    forecast = progress.Forecast(phase, total, step)
    with (
        _signals_held_back(trainer.distribute_strategy) as asked_to_stop,
        service_watch.watched(experiment.config.compute.data_service) as watches,
    ):
        for epochs, length in fit_calls(step, total, run.eval_every):
            trainer.fit(
                experiment.batches(phase, step, trainer.unlabeled_views),
                steps_per_epoch=length,
                epochs=epochs,
                renew_statistics=False,  # but by the callback
                verbose=console.bar_mode() if is_chief else 0,
                validation_data=validation,
                callbacks=[
                    *continue_row,
                    callbacks.StopOnNonFinite(phase, step),  # waits for the step's numbers
                    *timers,
                    forecast,
                    callbacks.RenewStatistics(
                        lambda: experiment.batches(phase, total, trainer.unlabeled_views),
                        total,
                        step,
                    ),
                    callbacks.LogMetrics(metrics, phase, run.log_every, step),
                    warning,
                    progress.Progress(forecast),
                    callbacks.SaveCheckpoint(
                        checkpoints,
                        phase,
                        total,
                        every=run.checkpoint_every,
                        offset=step,
                        stop=asked_to_stop,
                    ),
                    *watches,  # last: some of the others read batches, too
                ],
            )
            step += epochs * length
            continue_row = []
    return f"{phase} step {restored}" if restored else None


def _signals_held_back(
    strategy: tf.distribute.Strategy,
) -> contextlib.AbstractContextManager[signals.Stop]:
    """signals.held_back, but on several workers, which would not stop at the same step."""
    if devices.several_workers(strategy):
        return contextlib.nullcontext(signals.Stop())
    return signals.held_back()


def fit_calls(step: int, total: int, every: int) -> list[tuple[int, int]]:
    """How to go from `step` to step `total` with an evaluation at every multiple of `every`.

    Args:
      step: steps done.
      total: steps of the phase.
      every: at least 1.

    Returns:
      (epochs, steps_per_epoch) of each call of `fit`: one to the next multiple, one over whole
      intervals, one over the steps that are left; those without steps are left out.
    """
    head = min(-step % every, total - step)
    intervals, tail = divmod(total - step - head, every)
    return [pair for pair in ((1, head), (intervals, every), (1, tail)) if all(pair)]


def collapse_warning(experiment: Experiment, total: int, offset: int) -> collapse.WarnOfCollapse:
    """The callback that watches a phase's pseudo labels, from step `offset` to step `total`."""
    settings, class_names = experiment.config, experiment.split.class_names
    counts = np.bincount(experiment.split.labeled.labels, minlength=len(class_names))
    return collapse.WarnOfCollapse(
        settings.run.log_every,
        class_names,
        counts / counts.sum(),
        total,
        offset,
        head_start.remedy(settings),
    )
