"""`python -m mpl_tf.predict`: image files, or a pool, in, classes out."""

import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence

from mpl_tf import cli, console
from mpl_tf.options import ConfigError, option

COMMAND = cli.Command(
    "python -m mpl_tf.predict",
    """Classify image files with an export, or with what a run has exported. Answers are written to
standard output. Files that cannot be read are named on standard error, and the others classified.

  python -m mpl_tf.predict --model=runs/digits-mpl-0 pictures/ more.png
  find . -name '*.jpg' | python -m mpl_tf.predict --model=my_model --format=csv -

With --dataset all its training images, labeled and unlabeled, are classified, and the probabilities
stored in a folder as a table for training and `python -m mpl_tf.select`. A command that was stopped
goes on when it is given again:

  python -m mpl_tf.predict --model=my_model --dataset=tfrecord:pool --to=predictions""",
    files="image files, folders of them at any depth, or - for a list of paths on standard input",
    instead_of_files="dataset",
    failed="some files could not be classified, or the predictions not stored",
)


# Options without an effect on stored predictions, and on answers to files.
_OF_FILES = ("format", "top")
_OF_POOLS = ("to", "data_dir", "extra", "skip_broken", "cache_dir")


@dataclasses.dataclass(frozen=True)
class Options:
    """Which model answers, and how."""

    model: str = option(
        "", "An export, a folder of versions of one, or the folder of a run or of auto.", path=True
    )
    format: str = option(
        "jsonl",
        "jsonl: one JSON object a line, with file, predicted, probability and top. csv: with a "
        "header. table: for reading.",
        choices=("jsonl", "csv", "table"),
    )
    top: int = option(5, "How many of the most probable classes are told, at most.", low=1)
    batch: int = option(32, "Images that are classified at once.", low=1)
    dataset: str = option(
        "", "Instead of files: the images as `python -m mpl_tf.train` takes them; see --to."
    )
    to: str = option(
        "", "Folder in which the predictions of --dataset are stored; docs/pools.md.", path=True
    )
    data_dir: str = option(
        "",
        "Folder of TensorFlow Datasets; if empty, $TFDS_DATA_DIR, else ~/tensorflow_datasets.",
        path=True,
    )
    extra: bool = option(False, "Of --dataset=svhn_cropped: with the images of its extra split.")
    skip_broken: bool = option(
        False,
        "Of --dataset: count and leave out files that are no readable images, instead of refusing "
        "them.",
    )
    cache_dir: str = option(
        "",
        "Of --dataset=folder:PATH: a folder that remembers which files were readable; see "
        "`python -m mpl_tf.train --help`.",
        path=True,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 if all files were classified, or predictions stored, 1 if some could not
      be, 2 bad input, 130 stopped by the keyboard, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, cli.parser(COMMAND, Options), _predict)


def _predict(options: Options, names: list[str]) -> int:
    _check(options, names)
    return _predict_pool(options) if options.dataset else _predict_files(options, names)


def _check(options: Options, names: list[str]) -> None:
    """Refuses options that say nothing, or that have no effect."""
    if not options.model:
        meant = (
            f" Did you mean --model={shlex.quote(names[0])}?"
            if names and os.path.isdir(names[0])
            else ""
        )
        raise ConfigError(
            f"--model must be an export or the folder of a run; received none.{meant}"
        )
    if not os.path.exists(options.model):
        raise ConfigError(
            f"--model must be an export or a run; there is nothing at {options.model}."
        )
    if options.dataset and not options.to:
        raise ConfigError("--dataset needs --to: the folder in which predictions are stored.")
    default = Options()
    without_effect = _OF_FILES if options.dataset else _OF_POOLS
    for name in without_effect:
        if getattr(options, name) != getattr(default, name):
            other = "with files" if options.dataset else "with --dataset"
            raise ConfigError(f"--{name} has an effect {other} alone. Leave it out.")


def _predict_pool(options: Options) -> int:
    """Stores the predictions of all images of a dataset."""
    import tensorflow as tf

    from mpl_tf.config import places
    from mpl_tf.data.options import DataConfig
    from mpl_tf.images import decode
    from mpl_tf.images.parts import check_outside
    from mpl_tf.pools import compute, ordered, predictions
    from mpl_tf.runs import faults
    from mpl_tf.runs import folder as run_folder
    from mpl_tf.serving import loading

    check_outside("to", options.to, options.dataset)
    export = loading.load(run_folder.exports_of(options.model))
    height, width, channels = export.image_shape
    of_pool = {name: getattr(options, name) for name in ("data_dir", "extra", "skip_broken")}
    source = ordered.load(
        options.dataset,
        DataConfig(
            **of_pool, cache_dir=options.cache_dir, image_size=height if height == width else 0
        ),
    )
    pool = ordered.whole_pool(source)
    if tuple(pool.shape[:2]) != (height, width):
        raise ConfigError(
            f"{export.path} takes images of {height}x{width} pixels; those of {options.dataset} "
            f"have {pool.shape[0]}x{pool.shape[1]}."
        )

    def classify(images: tf.Tensor) -> tf.Tensor:
        if images.shape[-1] != channels:
            images = tf.map_fn(lambda image: decode.convert(image, channels), images)
        return export.signatures["serving_default"](images=images)["probabilities"]

    size, classes = len(pool), len(export.class_names)
    about = predictions.About(
        format=predictions.FORMAT,
        model=export.digest(),
        model_path=os.path.abspath(export.path),
        images=ordered.digest(pool),
        number_of_images=size,
        image_shape=list(export.image_shape),
        dataset=places.dataset(options.dataset),
        class_names=list(export.class_names),
        rows_per_shard=predictions.rows_per_shard(size, classes),
    )
    try:
        compute.store(options.to, about, pool, classify, options.batch)
    except Exception as error:
        again = "the same command goes on with the next shard"
        way_on = faults.WayOn(again, "predictions of other images belong in another folder")
        if not (reason := faults.reason(error, options.to, way_on)):
            raise
        raise cli.Failure(reason) from error
    console.say(f"In {options.to}: predictions of {size:,} images, {classes:,} classes each")
    return cli.DONE


def _predict_files(options: Options, names: list[str]) -> int:
    import tqdm

    from mpl_tf.images.files import list_files
    from mpl_tf.runs import folder as run_folder
    from mpl_tf.serving import file_answers, loading

    export = loading.load(run_folder.exports_of(options.model))
    serve, class_names = export.signatures.get("serving_bytes"), export.class_names
    if serve is None:
        raise ConfigError(f"{export.path} takes arrays alone: its images are neither grey nor RGB.")
    files, empty = list_files(names)
    writer = file_answers.Writer(options.format, class_names, min(options.top, len(class_names)))
    failed = len(empty)
    with (
        console.quiet_decoders(),
        tqdm.tqdm(total=len(files), unit="file", disable=None, leave=False) as bar,
    ):
        for folder, reason in empty:
            bar.write(f"{console.printable(folder)} {reason}", file=sys.stderr)
        for line in writer.header():
            bar.write(line)
        for first in range(0, len(files), options.batch):
            batch = files[first : first + options.batch]
            for file, probs, reason in file_answers.classify(serve, batch):
                if probs is None:
                    failed += 1
                    bar.write(f"{console.printable(file)} {reason}", file=sys.stderr)
                else:
                    bar.write(writer.line(file, probs))
            bar.update(len(batch))
            sys.stdout.flush()
    if failed:
        total = len(files) + len(empty)
        console.complain(f"{failed} of {total} could not be classified.")
    return cli.FAILED if failed else cli.DONE


if __name__ == "__main__":
    sys.exit(main())
