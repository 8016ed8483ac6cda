"""What is not set gives way in a small run: batches to few images, steps to a short training."""

from collections.abc import Mapping
from typing import Any

from mpl_tf.config.config import fields, unused_options
from mpl_tf.config.groups import RunConfig
from mpl_tf.data import splits
from mpl_tf.data.dataset import Dataset
from mpl_tf.data.pairing import give_way
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError

# What must be multiples of steps_per_execution.
COUNTED_IN_GROUPS = ("steps", "finetune_steps", "eval_every", "checkpoint_every", "log_every")


def fit_to_run(
    values: Mapping[str, Any],
    settings: Mapping[str, Any],
    suited: Mapping[str, Any],
    dataset: Dataset,
) -> dict[str, Any]:
    """The values of a run, with those made smaller that were not set and are too large for it.

    - A number of steps is at most `share_of_steps` of the run's steps (see `options.option`), or
      the share of them that the recipe gives it. It is 0 if the method has no use for it. Numbers
      of steps are multiples of `steps_per_execution`.
    - Validation images leave those that `num_labeled` asks for.
    - Batches have no more images than there are, and divide by microbatches and `replicas`.
    - With a split file the numbers of images are those of the file.

    Args:
      values: option name -> value, of all options of the run.
      settings: those that are set explicitly, which are never changed.
      suited: those of the dataset's recipe.
      dataset: which counts its images, where it can.

    Raises:
      ConfigError: the split file is none, or other numbers than its are set.
    """
    fitted = dict(values)
    if fitted["split_file"]:
        fitted |= _sizes_of_split_file(fitted["split_file"], settings)
    fitted |= _steps(fitted, settings, suited)
    if "num_validation" not in settings and not fitted["split_file"]:
        fitted["num_validation"] = _validation(fitted, dataset)
    return fitted | _batches(fitted, settings, dataset)


def _steps(
    values: Mapping[str, Any], settings: Mapping[str, Any], suited: Mapping[str, Any]
) -> dict[str, int]:
    """The numbers of steps."""
    method_class, group = METHODS[values["method"]], values["steps_per_execution"]
    free = [name for name in COUNTED_IN_GROUPS if name not in settings]
    steps = _multiple(values["steps"], group) if "steps" in free else values["steps"]
    length = steps / suited.get("steps", RunConfig.steps)  # in lengths of the recipe's run
    numbers = {"steps": steps}
    for field in fields(method_class):
        share, name = field.metadata["share_of_steps"], field.name
        if share is not None and name not in settings:
            in_recipe = int(suited.get(name, 0) * length)
            numbers[name] = min(values[name], max(int(steps * share), in_recipe))
    unused = unused_options(method_class)
    for name in free:
        numbers[name] = _multiple(numbers.get(name, values[name]), group)
    return {name: 0 if name in unused else number for name, number in numbers.items()}


def _multiple(number: int, of: int) -> int:
    """The greatest multiple that is at most `number`, but at least one if `number` is."""
    return max(number - number % of, of) if number else 0


def _validation(values: Mapping[str, Any], dataset: Dataset) -> int:
    """`num_validation` beside the labeled images that are asked for."""
    counts = dataset.class_counts
    if not counts or not values["num_labeled"]:
        return values["num_validation"]
    left = max(0, min(counts) - values["num_labeled"] // len(counts))
    return min(values["num_validation"], left * len(counts))


def _batches(
    values: Mapping[str, Any], settings: Mapping[str, Any], dataset: Dataset
) -> dict[str, int]:
    """The sizes of the batches."""
    train = None if dataset.available is None else dataset.available - values["num_validation"]
    labels = values["num_labeled"] or max(train or 0, 0) or None
    pool = (
        None
        if train is None or labels is None
        else dataset.pool_size(train - (labels if values["exclude_labeled"] else 0))
    )
    batch, ratio = give_way(
        values["labeled_batch"],
        values["unlabeled_ratio"],
        batch_is_set="labeled_batch" in settings,
        ratio_is_set="unlabeled_ratio" in settings,
        num_labeled=labels,
        # Without one the run is refused, if its method needs any.
        num_unlabeled=pool if METHODS[values["method"]].unlabeled_views and pool else None,
    )
    fitted = {"labeled_batch": batch, "unlabeled_ratio": ratio}
    fitted["finetune_batch"] = min(values["finetune_batch"], labels or values["finetune_batch"])
    parts = values["accumulate_steps"] * max(values["replicas"], 1)
    for name in ("labeled_batch", "finetune_batch"):
        fitted[name] = _multiple(fitted[name], parts) if fitted[name] > parts else fitted[name]
    return {name: size for name, size in fitted.items() if name not in settings}


def _sizes_of_split_file(path: str, settings: Mapping[str, Any]) -> dict[str, int]:
    """The numbers of labeled and validation images of a split file."""
    ids = splits.read_ids(path)
    sizes_of_file = {"num_labeled": len(ids["labeled"]), "num_validation": len(ids["validation"])}
    for name, size in sizes_of_file.items():
        if settings.get(name, size) != size:
            raise ConfigError(
                f"split_file {path} has {size} {name.removeprefix('num_')} images; received "
                f"{name}={settings[name]}. Leave {name} out."
            )
    return sizes_of_file
