"""`mpl_tf.auto(...)`: from a folder of images to a classifier, in one call."""

import os
import time
from typing import TYPE_CHECKING, Any

from mpl_tf import console, options
from mpl_tf.auto import early
from mpl_tf.auto.options import AutoConfig

if TYPE_CHECKING:  # it imports TensorFlow
    from mpl_tf.auto.outcome import Outcome


def find(
    dataset: str | os.PathLike[str],
    *,
    minutes: float = AutoConfig.minutes,
    network: str = AutoConfig.network,
    network_weights: str | os.PathLike[str] = AutoConfig.network_weights,
    workdir: str | os.PathLike[str] = AutoConfig.workdir,
    data_dir: str | os.PathLike[str] = AutoConfig.data_dir,
    image_size: int = AutoConfig.image_size,
    skip_broken: bool = AutoConfig.skip_broken,
    cache_dir: str | os.PathLike[str] = AutoConfig.cache_dir,
    label_next: int = AutoConfig.label_next,
    seed: int = AutoConfig.seed,
    verbose: bool = True,
) -> "Outcome":
    """Finds the best classifier of a folder with few labels, within minutes, and writes it.

    What `python -m mpl_tf.auto` does; docs/auto.md has what is written and how it is measured. The
    same call goes on where an interrupted one has stopped.

    Example:
        found = mpl_tf.auto("my_images", minutes=10)
        print(found.delivered, found.accuracy, found.verdict)
        probabilities = keras.ops.softmax(found.network(images) / found.temperature)

    Args:
      dataset: a folder with `labeled/<class>/*` and `unlabeled/**`, or what `--dataset` takes; an
        os.PathLike is a folder.
      minutes: for all that is done, greater than 0.
      network: a network, as `--network` takes it; "" takes the best whose weights can be reached.
      network_weights: "imagenet", a file of weights, or "" for networks that have their own.
      workdir: the folder for what is found; "" is `runs/auto-DATASET`.
      data_dir: of TensorFlow Datasets.
      image_size: side of the images in pixels; 0 is 96 to 224 with learned weights, as the minutes
        allow, and 32 without.
      skip_broken: whether files that are no readable images are left out.
      cache_dir: folder of cached features; "" is `features` beside the folder.
      label_next: images that are proposed to be labeled next, at most.
      seed: of folds, trainings and proposals.
      verbose: whether what the command prints is printed; if not, there are warnings alone.

    Returns:
      The classifier, its estimated accuracy, the candidates, and predictions as arrays.

    Raises:
      ConfigError: a value cannot be used, or the images cannot.
      OSError: the folder cannot be written.
    """
    values = {name: value for name, value in locals().items() if name not in ("values", "verbose")}
    values["dataset"] = early.as_text(dataset)
    if isinstance(network_weights, os.PathLike):
        values["network_weights"] = os.fspath(network_weights)
    chosen = options.make(AutoConfig, values, "mpl_tf.auto")
    with console.shown(verbose):
        return run(chosen, time.monotonic())


def run(chosen: AutoConfig, start: float) -> "Outcome":
    """The same from options.

    Args:
      chosen: the options, checked.
      start: what `time.monotonic()` was when the minutes began.

    Raises:
      ConfigError: an option cannot be used, or the images cannot.
      OSError: the folder cannot be written.
    """
    early.check(chosen)
    import numpy as np

    from mpl_tf import data
    from mpl_tf.auto import ladder as ladders
    from mpl_tf.auto import material, recipes, search, sizes, starts
    from mpl_tf.auto.contest import Plan
    from mpl_tf.config import places
    from mpl_tf.data.options import DataConfig
    from mpl_tf.features import fingerprint
    from mpl_tf.options import ConfigError
    from mpl_tf.runs import folder, provenance

    name = early.dataset(chosen.dataset)
    try:
        dataset = data.find(name, chosen.data_dir)
    except ConfigError as error:
        raise ConfigError(f"{early.no_folder(name)}{error}") from error
    path = early.workdir(chosen)
    first = starts.choose(chosen, dataset.side)
    if first.note:
        console.log.warning(f"{first.note}\n")
    if first.any_size:
        form = dataset.form(DataConfig(data_dir=chosen.data_dir, image_size=first.image_size))
        first = sizes.settle(first, form, chosen, ladders.begun_with(path).get("image_size"))
    beside = os.path.join(os.path.dirname(os.path.abspath(path)), "features")
    cache = os.path.abspath(chosen.cache_dir) if chosen.cache_dir else beside
    images = DataConfig(
        data_dir=chosen.data_dir,
        image_size=first.image_size,
        skip_broken=chosen.skip_broken,
        cache_dir=cache,
    )
    source = dataset.load(images)
    height, width, channels = source.train.shape
    shape = height, width, channels
    backbone, layers = starts.backbone(first, len(source.class_names), shape, chosen.seed)
    common: dict[str, Any] = {
        "dataset": name,
        "data_dir": images.data_dir,
        "image_size": images.image_size,
        "skip_broken": images.skip_broken,
        "network": first.network,
        "seed": chosen.seed,
    }
    if first.weights:
        common["network_weights"] = first.weights
    if first.is_pretrained:
        common |= {"cache_dir": cache, "head_init": "new"}
    contents = source.contents()
    material.warn_of_copies(source, contents)
    version = provenance.versions().get("mpl_tf", "not installed")
    of = {
        "program": f"{version} with recipes {recipes.digest()[:8]}",
        "dataset": name.partition(":")[0],  # a folder may have been moved
        "images": material.digest(contents),
        "network": places.network(first.network),
        "network_weights": first.weights and os.path.basename(first.weights),
        "weights": fingerprint.of_backbone(backbone),
        "image_size": first.image_size,
        "skip_broken": chosen.skip_broken,
        "seed": chosen.seed,
    }
    with folder.lock(path):
        ladder = ladders.Ladder(path, of, 60 * chosen.minutes, start=start)
        with ladder.ticking():
            candidates = recipes.quick(first.is_pretrained, not np.all(source.copies))
            made = material.prepare(source, backbone, cache, chosen.seed)
            return search.find_best(
                made,
                Plan(common, candidates, layers),
                ladder,
                path,
                chosen.label_next,
                {
                    "dataset": places.dataset(name),
                    "network": first.network,
                    "network_weights": first.weights,
                    "note": first.note,
                },
            )
