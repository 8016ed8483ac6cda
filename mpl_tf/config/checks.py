"""Whether a configuration can be trained as it is, on the data that it names."""

from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError


def check_schedule(config):
    """Raises ConfigError if a schedule leaves no step to train in."""
    run, optimizer = config.run, config.optimizer
    waits = {
        "student_wait_steps + student_warmup_steps": optimizer.student_wait_steps
        + optimizer.student_warmup_steps,
        "teacher_warmup_steps": optimizer.teacher_warmup_steps,
    }
    for name, total in waits.items():
        if total >= run.steps:
            raise ConfigError(f"{name} must be less than steps={run.steps}; received {total}.")


def check_compute(config):
    """Raises ConfigError if a run cannot be computed in the way that was asked for."""
    run, compute = config.run, config.compute
    on_tpu = compute.strategy.startswith("tpu")
    if on_tpu and compute.precision == "float16":
        raise ConfigError("precision=float16 does not work on TPUs; bfloat16 does.")
    if on_tpu and compute.jit_compile:
        raise ConfigError("jit_compile is for CPUs and GPUs; TPUs compile every step anyway.")
    if compute.jit_compile and run.deterministic:
        raise ConfigError("jit_compile and deterministic exclude each other: Keras leaves XLA out.")
    group = compute.steps_per_execution
    names = ("steps", "finetune_steps", "eval_every", "checkpoint_every", "log_every")
    odd = [f"{name}={getattr(run, name)}" for name in names if getattr(run, name) % group]
    if odd:
        raise ConfigError(
            f"these must be multiples of steps_per_execution={group}: {', '.join(odd)}."
        )


def check_replicas(config, replicas):
    """Raises ConfigError unless every batch divides by replicas (int) and microbatches."""
    parts = replicas * config.compute.accumulate_steps
    batches = {"labeled_batch": config.run.labeled_batch}
    if config.run.finetune_steps:
        batches["finetune_batch"] = config.optimizer.finetune_batch
    odd = [f"{name}={size}" for name, size in batches.items() if size % parts]
    if odd:
        raise ConfigError(
            f"batches must divide into {parts} equal parts ({replicas} replicas times "
            f"accumulate_steps={config.compute.accumulate_steps}); received {', '.join(odd)}."
        )


def check_data(config, source):
    """Checks a run's sizes against its images.

    Args:
      config: Config.
      source: data.dataset.Source.

    Raises:
      ConfigError: a size does not fit; the message says what would.
    """
    run, chosen = config.run, config.data
    train, classes = source.train, len(source.class_names)
    labels = train.labels
    if labels.min() < 0 or labels.max() >= classes:
        raise ConfigError(
            f"labels must be from 0 to {classes - 1}; received {labels.min()} to {labels.max()}."
        )
    carved = 0 if source.validation is not None else chosen.num_validation
    smallest = min((labels == k).sum() for k in range(classes))
    if carved % classes or carved >= smallest * classes:
        raise ConfigError(
            f"num_validation must be a multiple of the {classes} classes of {run.dataset}, less "
            f"than {smallest * classes}; received {carved}."
        )
    most = (smallest - carved // classes) * classes
    wanted = chosen.num_labeled
    if not chosen.split_file and (wanted % classes or wanted > most):
        raise ConfigError(
            f"num_labeled must be a multiple of the {classes} classes of {run.dataset}, from "
            f"{classes} to {most}, or 0 for all; received {wanted}."
        )
    known = wanted or len(train) - carved
    for name, batch in (
        ("labeled_batch", run.labeled_batch),
        ("finetune_batch", config.optimizer.finetune_batch),
    ):
        if batch > known:
            raise ConfigError(f"{name} must be at most num_labeled={known}; received {batch}.")
    if METHODS[run.method].unlabeled_views:
        pool = len(train) - carved - (known if chosen.exclude_labeled else 0)
        if source.unlabeled is None and known == len(train) - carved:
            raise ConfigError(
                f"{run.dataset} has no unlabeled image: all {known} are labeled. Take fewer with "
                "--num_labeled, or add unlabeled ones."
            )
        pool = source.pool(train.take(slice(pool))).size
        if run.labeled_batch * run.unlabeled_ratio > pool:
            raise ConfigError(
                f"labeled_batch * unlabeled_ratio must be at most the {pool} unlabeled images; "
                f"received {run.labeled_batch} * {run.unlabeled_ratio}."
            )
