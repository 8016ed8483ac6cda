"""Whether a configuration can be trained as it is, on the data that it names."""

import numpy as np

from mpl_tf.config.config import Config
from mpl_tf.config.fit import COUNTED_IN_GROUPS
from mpl_tf.data import service
from mpl_tf.data.dataset import Source
from mpl_tf.data.pairing import give_way
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError


def check_schedule(config: Config) -> None:
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


def check_labels(config: Config) -> None:
    """Raises ConfigError if labels are to be balanced twice, the second time without effect."""
    method = config.method
    names = {"class_weight": "balanced", "logit_adjustment": method.logit_adjustment}
    for name, value in names.items():
        if config.data.balance_labels and value and getattr(method, name) == value:
            raise ConfigError(
                f"{name}={value} has no effect beside balance_labels, by which losses find equally "
                "many labels of each class. Leave one of them out."
            )


def check_selection(config: Config) -> None:
    """Raises ConfigError if a selection would be learned in a way that it is not for."""
    if not config.data.select:
        return
    if METHODS[config.run.method].unlabeled_views:
        without = [name for name, method in METHODS.items() if not method.unlabeled_views]
        raise ConfigError(
            "select gives training labels that a model has chosen already: it is for methods "
            f"without unlabeled images, {', '.join(without)}; received method={config.run.method}."
        )
    if config.is_cached:
        raise ConfigError(
            "select reads images, and heads on cached features none. Take --features=off, or leave "
            "select out."
        )


def check_compute(config: Config) -> None:
    """Raises ConfigError if a run cannot be computed in the way that was asked for."""
    run, compute = config.run, config.compute
    on_tpu = compute.strategy.startswith("tpu")
    if on_tpu and compute.precision == "float16":
        raise ConfigError("precision=float16 does not work on TPUs; bfloat16 does.")
    if on_tpu and compute.jit_compile:
        raise ConfigError("jit_compile is for CPUs and GPUs; TPUs compile every step anyway.")
    if compute.jit_compile and run.deterministic:
        raise ConfigError("jit_compile and deterministic exclude each other: Keras leaves XLA out.")
    if compute.stages > 1:
        _check_stages(config)
    if compute.data_service:
        _check_data_service(config)
    group = compute.steps_per_execution
    numbers = {name: getattr(run, name) for name in COUNTED_IN_GROUPS}
    odd = [f"{name}={number}" for name, number in numbers.items() if number % group]
    if odd:
        raise ConfigError(
            f"these must be multiples of steps_per_execution={group}: {', '.join(odd)}."
        )


def _check_stages(config: Config) -> None:
    """Raises ConfigError if the networks of a run cannot be divided over devices."""
    compute, divided = config.compute, f"stages={config.compute.stages}"
    if compute.strategy not in ("auto", "cpu", "gpu"):
        raise ConfigError(
            f"{divided} divides networks over the devices of one replica: strategy must be auto, "
            f"cpu or gpu; received strategy={compute.strategy}."
        )
    if compute.jit_compile:
        raise ConfigError(
            f"XLA compiles a step for one device, and {divided} has it on several. Leave "
            "jit_compile or stages out."
        )
    if config.is_cached:
        raise ConfigError(
            f"{divided} has nothing to divide: heads on cached features are small. Leave stages "
            "out, or take --features=off."
        )


def _check_data_service(config: Config) -> None:
    """Raises ConfigError if a service cannot make the batches of a run."""
    service.check_address("data_service", config.compute.data_service)
    if config.run.deterministic:
        raise ConfigError(
            "data_service and deterministic exclude each other: batches of a service come in the "
            "order in which its workers make them. Leave one of them out."
        )
    if config.is_cached:
        raise ConfigError(
            "data_service makes batches of images, and cached features are read by Python in this "
            "process alone. Leave data_service out, or take --features=off."
        )
    if config.data.strong == "keras_cv":
        raise ConfigError(
            "data_service makes views by TensorFlow's operations alone, and strong=keras_cv has "
            "layers of this process. Take another strong view, such as randaugment."
        )


def check_replicas(config: Config, replicas: int) -> None:
    """Raises ConfigError unless every batch divides by replicas and microbatches."""
    parts = replicas * config.compute.accumulate_steps
    odd = [f"{name}={size}" for name, size in _labeled_batches(config).items() if size % parts]
    if odd:
        raise ConfigError(
            f"batches must divide into {parts} equal parts ({replicas} replicas times "
            f"accumulate_steps={config.compute.accumulate_steps}); received {', '.join(odd)}."
        )


def check_data(config: Config, source: Source) -> None:
    """Checks the sizes of a run against the images that it has.

    Raises:
      ConfigError: a size does not fit; the message says what would.
    """
    run, options = config.run, config.data
    labels, classes = source.train.labels, len(source.class_names)
    if labels.min() < 0 or labels.max() >= classes:
        raise ConfigError(
            f"labels must be from 0 to {classes - 1}; received {labels.min()} to {labels.max()}."
        )
    names = [repr(source.class_names[k]) for k in np.setdiff1d(np.arange(classes), labels)]
    if names:
        raise ConfigError(
            f"{run.dataset} has no labeled image of {len(names)} of its {classes} classes: "
            f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}."
        )
    if classes < 2:
        raise ConfigError(f"{run.dataset} must have at least two classes; it has {classes}.")
    num_validation = 0 if source.validation is not None else options.num_validation
    if not options.split_file:  # which may name any number of each class
        _check_balance(config, np.bincount(labels, minlength=classes), num_validation)
    num_train = len(labels) - num_validation
    num_labeled = options.num_labeled or num_train
    for name, batch in _labeled_batches(config).items():
        if batch > num_labeled:
            raise ConfigError(
                f"{name} must be at most num_labeled={num_labeled}; received {batch}."
            )
    if run.deliver == "best" and source.validation is None and not num_validation:
        raise ConfigError(
            "deliver=best chooses on validation images, and there are none: set num_validation, or "
            "leave deliver out."
        )
    if config.compute.data_service:
        service.check_sources((source.train, source.unlabeled))
    if METHODS[run.method].unlabeled_views:
        _check_pool(config, source, num_train, num_labeled)


def _labeled_batches(config: Config) -> dict[str, int]:
    """Option -> size of the batches of labeled images that a run takes."""
    batches = {"labeled_batch": config.run.labeled_batch}
    if config.run.finetune_steps:
        batches["finetune_batch"] = config.optimizer.finetune_batch
    return batches


def _check_balance(config: Config, counts: np.ndarray, num_validation: int) -> None:
    """Raises ConfigError unless as many images of each class can be chosen; `counts` are theirs."""
    dataset, num_labeled = config.run.dataset, config.data.num_labeled
    classes, smallest = len(counts), counts.min()
    if num_validation % classes or num_validation >= smallest * classes:
        raise ConfigError(
            f"num_validation must be a multiple of the {classes} classes of {dataset}, less "
            f"than {smallest * classes}; received {num_validation}."
        )
    most = (smallest - num_validation // classes) * classes
    if num_labeled % classes or num_labeled > most:
        without = f" (without the {num_validation} of num_validation)" if num_validation else ""
        raise ConfigError(
            f"num_labeled must be a multiple of the {classes} classes of {dataset}, from "
            f"{classes} to {most}{without}, or 0 for all; received {num_labeled}."
        )


def _check_pool(config: Config, source: Source, num_train: int, num_labeled: int) -> None:
    """Raises ConfigError unless there are unlabeled images, enough for a batch."""
    run = config.run
    if source.unlabeled is None and num_labeled == num_train:
        raise ConfigError(
            f"{run.dataset} has no unlabeled image: all {num_labeled} are labeled. Take fewer with "
            "--num_labeled, or add unlabeled ones."
        )
    others = num_train - (num_labeled if config.data.exclude_labeled else 0)
    exclude = config.data.exclude_labeled
    size = source.pool(source.train.take(np.arange(others)), without_copies=exclude).size
    if size == 0:
        raise ConfigError(
            f"{run.dataset} has no unlabeled image that is no copy of a labeled one. Add some."
        )
    if size is not None and run.labeled_batch * run.unlabeled_ratio > size:
        batch, ratio = give_way(
            run.labeled_batch,
            run.unlabeled_ratio,
            batch_is_set=False,
            ratio_is_set=False,
            num_labeled=num_labeled,
            num_unlabeled=size,
        )
        raise ConfigError(
            f"labeled_batch * unlabeled_ratio must be at most the {size} unlabeled images; "
            f"received {run.labeled_batch} * {run.unlabeled_ratio}. --labeled_batch={batch} "
            f"--unlabeled_ratio={ratio} would do, or leave one of them out."
        )
