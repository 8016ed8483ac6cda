"""The phases of a run, each from its newest checkpoint to its last step."""

import contextlib
import os

import keras
import numpy as np

from mpl_tf import console
from mpl_tf.data import pipeline
from mpl_tf.engine import devices
from mpl_tf.runs import callbacks, collapse, metrics_log
from mpl_tf.runs.checkpoint import Checkpoints


def fit(experiment):
    """All phases of a run, each from its newest checkpoint in the run folder.

    Returns:
      (resumed_at, seconds_per_step): the phase and step it continued from, None for a run that
      started at the beginning; and the median time of a step of the phase "train", None if none of
      its steps was left to take.
    """
    method, run = experiment.method, experiment.config.run
    phases = {**method.pretraining_phases(), "train": method}
    class_names = experiment.split.class_names if method.unlabeled_views else None
    log = metrics_log.MetricsLog(experiment.own_path, class_names)
    timer = callbacks.StepTimer()
    with contextlib.closing(log):
        continued = [
            run_phase(experiment, engine, phase, run.steps, log, [timer] * (phase == "train"))
            for phase, engine in phases.items()
        ]
        if run.finetune_steps:
            tuning = finetuning(experiment)
            continued.append(run_phase(experiment, tuning, "finetune", run.finetune_steps, log))
    started = [place for place in continued if place]
    return started[-1] if started else None, timer.median()


def finetuning(experiment):
    """The compiled engine of an experiment's last phase."""
    method, rate = experiment.method, experiment.config.optimizer.finetune_learning_rate
    with method.distribute_strategy.scope():
        optimizer = keras.optimizers.SGD(rate)
    return method.finetuning_phase(
        optimizer, **(method.compile_arguments() | {"weight_decay": 0.0})
    )


def run_phase(experiment, engine, phase, total, log, more=()):
    """Fits an engine from its newest checkpoint to step `total`.

    Args:
      experiment: Experiment.
      engine: engine.trainer.Trainer, compiled.
      phase: str, "train", "finetune" or the name of a preparation.
      total: int, steps of the phase.
      log: metrics_log.MetricsLog.
      more: sequence of keras.callbacks.Callback, called when a step's numbers are there.

    Returns:
      str, the phase and step it continued from, or None.
    """
    run, images = experiment.config.run, experiment.split.validation
    validation = pipeline.evaluation_batches(images, padded=True) if images else None
    checkpoints = Checkpoints(
        engine,
        os.path.join(experiment.path, "checkpoints", phase),
        keep=run.keep_checkpoints,
        write_to=experiment.file("checkpoints", phase),
    )
    restored = taken = checkpoints.restore()
    speaks = devices.is_chief(engine.distribute_strategy)
    log.rewind(phase, taken)
    begun = taken % run.eval_every if taken < total else 0  # steps since the last evaluation
    first = []
    if restored:
        console.say(f"{phase}: continuing after step {restored} of {total}")
        if images and not begun and not log.has_evaluation(phase, taken):
            values = engine.evaluate(validation, return_dict=True, verbose=0)
            values = {f"val_{name}": value for name, value in values.items()}
            log.write(phase, taken, values)
            callbacks.check_finite(phase, taken, values)
        if begun and taken % run.log_every:
            first = [callbacks.ContinueWindow(engine)]
    with _held_back(engine.distribute_strategy) as asked_to_stop:
        for count, length in stretches(taken, total, run.eval_every):
            engine.fit(
                experiment.batches(phase, taken, engine.unlabeled_views),
                steps_per_epoch=length,
                epochs=count,
                verbose=console.bar_mode() if speaks else 0,
                validation_data=validation,
                callbacks=[
                    *first,
                    callbacks.StopOnNonFinite(phase, taken),  # waits for the step's numbers
                    *more,
                    callbacks.LogMetrics(log, phase, run.log_every, taken),
                    collapse_warning(experiment, taken),
                    callbacks.Progress(phase, total, taken),
                    callbacks.SaveCheckpoint(
                        checkpoints,
                        phase,
                        total,
                        every=run.checkpoint_every,
                        start=taken,
                        stop=asked_to_stop,
                    ),
                ],
            )
            taken += count * length
            first = []
    return f"{phase} step {restored}" if restored else None


def _held_back(strategy):
    """console.held_back, but on several workers, which would not stop at the same step."""
    if devices.several_workers(strategy):
        return contextlib.nullcontext(lambda: False)
    return console.held_back()


def stretches(taken, total, every):
    """How to go from step `taken` to `total` with a stop at every multiple of `every`.

    Args:
      taken, total: int, steps.
      every: int, at least 1.

    Returns:
      list of (count, length): first what is left of a stretch that was begun, then whole ones, then
      what is left of the steps.
    """
    begun = min(-taken % every, total - taken)
    whole, rest = divmod(total - taken - begun, every)
    return [pair for pair in ((1, begun), (whole, every), (1, rest)) if all(pair)]


def collapse_warning(experiment, start):
    """A collapse.WarnOfCollapse for this run, from step `start` on."""
    settings, class_names = experiment.config, experiment.split.class_names
    counts = np.bincount(experiment.split.labeled.labels, minlength=len(class_names))
    return collapse.WarnOfCollapse(
        settings.run.log_every,
        class_names,
        counts / counts.sum(),
        start=start,
    )
