"""One run from images to export: build, restore, fit, finetune, evaluate, report."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mpl_tf import config, data, files
from mpl_tf.config import flags, places
from mpl_tf.console import log
from mpl_tf.data import contents, duplicates, service, splits
from mpl_tf.data.dataset import Dataset, Images, Source
from mpl_tf.engine import devices
from mpl_tf.images.parts import check_outside
from mpl_tf.options import ConfigError
from mpl_tf.runs import (
    announcement,
    cached,
    folder,
    given_predictions,
    head_start,
    metrics_log,
    phases,
    provenance,
    results,
    selected,
    views_grid,
)
from mpl_tf.runs.experiment import Experiment, build, make_split, with_eval_split
from mpl_tf.serving import saved_model


def train_and_evaluate(
    settings: config.Config,
    path: str,
    overwrite: bool = False,
    workers: str = "",
    worker_index: int = -1,
    source: Source | None = None,
    explicit: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Runs, or continues, or reports as finished, the run of a folder.

    Args:
      settings: of the run.
      path: the run folder; with several workers, one that all of them see.
      overwrite: whether to replace a run that is there.
      workers, worker_index: as for devices.make_strategy.
      source: the images, if they have been read already; None reads them.
      explicit: option name -> value, of those that somebody set. What is not set follows from the
        number of images, which is smaller if broken files are left out. None leaves all as it is.

    Returns:
      The contents of results.json; None on a worker that is not the chief.

    Raises:
      ConfigError: the configuration does not fit the data or the folder; nothing was trained.
      callbacks.NonFiniteError: a loss became NaN or infinite; the last good checkpoint is there.
      checkpoint.CheckpointError: no checkpoint could be read, or one could not be written.
      signals.Terminated: SIGTERM came, and the run was saved.
    """
    compute = settings.compute
    unsettled: set[str] = set()
    if explicit is not None and settings.data.skip_broken:
        unsettled = folder.SIZES - explicit.keys()
    for name, output in (
        ("workdir", path),
        ("cache_dir", cached.data_options(settings, path).cache_dir),
    ):
        check_outside(name, output, settings.run.dataset)
    _check_inputs_outside(settings, path)
    state = folder.state(path, settings.flat(), overwrite, unsettled)
    if state == "finished":
        _check_images_of_finished(path, settings, source)
        return report_finished(path)
    if state == "interrupted":
        for table in (folder.METRICS, folder.SHARES):
            metrics_log.read_table(os.path.join(path, table))  # refuses one that is damaged

    given_predictions.find(settings)  # refuses what is not whole, before images are read
    start_time = time.time()
    if settings.run.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = devices.make_strategy(
        compute.strategy, compute.replicas, workers, worker_index, compute.stages
    )
    config.check_replicas(settings, strategy.num_replicas_in_sync)
    if compute.data_service:
        service.check_answers(compute.data_service)
    if source is None:
        source = _load(settings, path)
    if unsettled and source.skipped:
        settings = config.make(explicit or {}, data.counted(source))
        config.check_replicas(settings, strategy.num_replicas_in_sync)
    config.check_data(settings, source)
    split = make_split(settings, source)
    absent = np.setdiff1d(np.arange(len(split.class_names)), split.labeled.labels)
    if len(absent):  # which a split file may do
        names = ", ".join(split.class_names[k] for k in absent[:5])
        log.warning(f"no labeled image shows {len(absent)} of the classes, such as {names}")
    head_start.check(settings, split)
    saved_model.check_class_names(split.class_names, len(split.class_names))
    if not devices.is_chief(strategy):
        _take_part(settings, split, path, strategy)
        return None
    experiment = _build(settings, split, path, strategy)  # first: a network may refuse the images
    results.check_facts(experiment.method)
    if experiment.features is not None and not overwrite:
        cached.check(path, experiment.features.digest, settings)
    images = source.contents()
    of_images = {part: images[part] for part in images if isinstance(getattr(source, part), Images)}
    for leak in duplicates.leaks(of_images):
        log.warning(f"{leak}: what is measured on them says too much")
    images |= selected.contents(settings) | given_predictions.contents(settings)
    with folder.lock(path):
        if not overwrite:
            provenance.check_images(path, images, split)
        flat, lines = settings.flat(), flags.to_lines(settings)
        if folder.prepare(path, flat, lines, overwrite) == "finished":  # in the meantime
            return report_finished(path)
        provenance.keep_images(path, images, split)
        if experiment.features is not None:
            cached.keep(path, experiment.features)
        picture = os.path.join(path, folder.VIEWS)
        drawn = views_grid.draw(picture, experiment)
        if experiment.pretraining is not None:
            views_grid.draw(os.path.join(path, folder.PRETRAIN_VIEWS), experiment.pretraining)
        metrics_log.show_setup(path, flat, picture if drawn else None)
        announcement.announce(experiment, explicit)
        experiment.prepare()
        head_start.start(experiment)
        devices.wait_for_all(strategy)
        resumed_at, seconds_per_step = phases.fit(experiment)
        summary = {**results.finish(experiment), "seconds": round(time.time() - start_time, 1)}
        summary["seconds_per_step"] = seconds_per_step and round(seconds_per_step, 5)
        summary["resumed_at"] = resumed_at
        files.write_json(os.path.join(path, folder.RESULTS), summary)
    results.summarize(summary, path)
    return summary


def _check_inputs_outside(settings: config.Config, path: str) -> None:
    """Raises ConfigError if a file that the run starts from lies in its own folder.

    The run would replace it, and be no longer what its configuration says.
    """
    inputs = {
        "network": settings.run.network.removeprefix("file:"),
        "teacher_network": settings.run.teacher_network.removeprefix("file:"),
        "network_weights": settings.network.network_weights,
        "split_file": settings.data.split_file,
        "select": settings.data.select,
        "predictions": settings.data.predictions,
    }
    inside = os.path.join(os.path.realpath(path), "")
    for name, value in inputs.items():
        if value and os.path.realpath(value).startswith(inside) and os.path.exists(value):
            raise ConfigError(
                f"{name} is in the run folder {path}, where the run writes its own files: it would "
                f"replace what it starts from. Take another --workdir, or move {value}."
            )


def _load(settings: config.Config, path: str) -> Source:
    """The images of a run."""
    return _find(settings).load(cached.data_options(settings, path))


def _find(settings: config.Config) -> Dataset:
    """The dataset of a run."""
    return data.find(settings.run.dataset, settings.data.data_dir)


def _build(
    settings: config.Config,
    split: splits.Split,
    path: str,
    strategy: tf.distribute.Strategy,
    output_path: str | None = None,
) -> Experiment:
    """A run, as `experiment.build`, with its images in all sizes that it needs."""
    made = build(settings, split, path, strategy, output_path)
    return with_eval_split(made, lambda options: _find(settings).load(options))


def _take_part(
    settings: config.Config, split: splits.Split, path: str, strategy: tf.distribute.Strategy
) -> None:
    """What a worker does that is not the chief: all steps, and nothing that stays on the disk."""
    with tempfile.TemporaryDirectory() as output_path:
        experiment = _build(settings, split, path, strategy, output_path)
        experiment.prepare()
        head_start.start(experiment)
        devices.wait_for_all(strategy)
        with contextlib.suppress(FileNotFoundError):  # decides what is still to be done
            shutil.copy(os.path.join(path, folder.METRICS), output_path)
        phases.fit(experiment)


def _check_images_of_finished(path: str, settings: config.Config, source: Source | None) -> None:
    """Says whether the images are others now than those that a finished run was trained on.

    Raises:
      ConfigError: they lie elsewhere, and are others, or nobody can tell.
    """
    there, changes, unknown = None, list[str](), ""
    try:
        there = provenance.read_images(path)
        if there is not None:
            source = source or _load(settings, path)
            here_now = source.contents() | selected.contents(settings)
            here_now |= given_predictions.contents(settings)
            changes = contents.differences(there, here_now)
    except (ConfigError, OSError) as error:
        unknown = str(error)
    if changes or unknown or there is None:
        here = settings.flat()
        dataset = files.read_json(os.path.join(path, folder.CONFIG)).get("dataset", "")
        folder.check_same(path, here | {"dataset": places.dataset(str(dataset))}, here)
    if unknown:
        log.warning(
            f"whether the images are those that this run was trained on is not known: {unknown}"
        )
    if changes:
        log.warning(
            f"the images of {settings.run.dataset} are not those that this run was trained on: "
            f"{'; '.join(changes)}. Its results, which follow, are of those"
        )


def report_finished(path: str) -> dict[str, Any]:
    """The contents of results.json of a finished run, after saying what they are."""
    log.info(f"This run has finished already; --overwrite would replace it: {path}")
    summary = results.read(path)
    results.summarize(summary, path)
    return summary
