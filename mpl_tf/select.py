"""`python -m mpl_tf.select`: the surest images of each class of a pool."""

import dataclasses
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mpl_tf import cli, console
from mpl_tf.options import ConfigError, option

if TYPE_CHECKING:
    from mpl_tf.pools.ordered import Positioned
    from mpl_tf.pools.selection import Pairs

COMMAND = cli.Command(
    "python -m mpl_tf.select",
    """Choose the images of a pool of which a model is surest, as many of each class, by predictions
that `python -m mpl_tf.predict --to` has stored. Writes selection.csv, and a sheet of each class.

  python -m mpl_tf.select --predictions=predictions --per_class=12800 --to=selection
  python -m mpl_tf.train --method=supervised --dataset=tfrecord:pool --select=selection""",
    failed="an image of the pool could not be read, or the selection not written",
)

_SHEETS, _SHEET_IMAGES = "sheets", 60
_NO_FILE = r"[^\w-]+"  # in a name of a class, for that of its sheet


@dataclasses.dataclass(frozen=True)
class Options:
    """What is chosen, and from what."""

    predictions: str = option("", "Folder of stored predictions.", path=True)
    to: str = option("", "Folder to write to, which is new or has a selection.", path=True)
    per_class: int = option(
        12_800, "Images of each class at most (the paper's 12,800; K of Yalniz et al.).", low=1
    )
    candidates: int = option(
        1, "Classes that an image may be chosen for: its P likeliest ones.", low=1
    )
    dataset: str = option(
        "", "The images, as they were given to predict; if empty, where they lay then."
    )
    split_file: str = option(
        "", "A split.json: the validation images of that run are not chosen.", path=True
    )
    sheets: int = option(
        100,
        "Classes of which a sheet is drawn, with up to 60 of their images from the surest to the "
        "last: the first ones.",
        low=0,
    )
    data_dir: str = option(
        "",
        "Folder of TensorFlow Datasets; if empty, $TFDS_DATA_DIR, else ~/tensorflow_datasets.",
        path=True,
    )
    extra: bool = option(False, "As it was given to predict.")
    skip_broken: bool = option(False, "As it was given to predict.")
    cache_dir: str = option("", "As for predict.", path=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 done, 1 an image could not be read or nothing be written, 2 bad input, 130
      stopped by the keyboard, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, cli.parser(COMMAND, Options), _select)


def _select(options: Options) -> int:
    for name in ("predictions", "to"):
        if not getattr(options, name):
            raise ConfigError(f"--{name} must be a folder; received none.")
    import tqdm

    from mpl_tf import files
    from mpl_tf.data.options import DataConfig
    from mpl_tf.images.parts import check_outside
    from mpl_tf.pools import matching, ordered, predictions, selection, selection_list
    from mpl_tf.runs import faults

    stored = predictions.Predictions(options.predictions)
    about = stored.about
    dataset = options.dataset or about["dataset"]
    check_outside("to", options.to, dataset)
    files.check_folder(options.to, (selection_list.LIST, selection_list.ABOUT))
    _check_new(options.to)
    of_pool = {name: getattr(options, name) for name in ("data_dir", "extra", "skip_broken")}
    settings = DataConfig(
        **of_pool, cache_dir=options.cache_dir, image_size=about["image_shape"][0]
    )
    source = ordered.load(dataset, settings)
    pool = ordered.whole_pool(source)
    stored.check(images=ordered.digest(pool))
    matching.check(stored, pool)
    held_out = ordered.held_out(source, options.split_file)
    with tqdm.tqdm(total=len(stored), unit="image", disable=None, leave=False) as bar:
        pairs, left_out = selection.choose(
            stored, options.per_class, options.candidates, held_out, bar.update
        )
    of_list = selection_list.About(
        model=about["model"],
        images=about["images"],
        dataset=dataset,
        class_names=stored.class_names,
        predictions=os.path.abspath(options.predictions),
        per_class=options.per_class,
        candidates=options.candidates,
        number_of_pairs=len(pairs),
        left_out=left_out,
    )
    try:
        files.remove(os.path.join(options.to, _SHEETS))
        selection_list.write(options.to, of_list, pairs, lambda found: ordered.names(pool, found))
        _draw(options, stored.class_names, pairs, pool)
    except Exception as error:
        way_on = faults.WayOn("give the same command again", "store their predictions first")
        if not (reason := faults.reason(error, options.to, way_on)):
            raise
        raise cli.Failure(reason) from error
    _say(options, stored.class_names, pairs, left_out, len(stored))
    return cli.DONE


def _check_new(path: str) -> None:
    """Refuses a folder that holds something else than a selection."""
    from mpl_tf.pools import selection_list

    if not selection_list.is_one(path):
        present = ", ".join(map(console.printable, sorted(os.listdir(path))[:3]))
        raise ConfigError(
            f"{path} holds something else than a selection ({present}). Choose another folder."
        )


def _draw(options: Options, class_names: Sequence[str], pairs: "Pairs", pool: "Positioned") -> None:
    """A sheet of each class in a folder of its own, which is not there."""
    from mpl_tf.auto import sheets
    from mpl_tf.pools import ordered

    folder = os.path.join(options.to, _SHEETS)
    if not options.sheets:
        return
    os.makedirs(folder)
    for k, name in enumerate(class_names[: options.sheets]):
        of_class = pairs.take(pairs.classes == k)
        if not len(of_class):
            continue
        shown = of_class.take(
            np.linspace(0, len(of_class) - 1, min(len(of_class), _SHEET_IMAGES)).astype(int)
        )
        images = list(ordered.take(pool, shown.positions).images)
        files_of = ordered.names(pool, shown.positions)
        captions = [
            (f"{confidence:.1%} sure", os.path.basename(file))
            for confidence, file in zip(shown.confidences.tolist(), files_of, strict=True)
        ]
        title = f"{name}: {len(shown):,} of {len(of_class):,} images, from the surest to the last"
        path = os.path.join(folder, f"{k:05}_{re.sub(_NO_FILE, '_', name)[:40]}.png")
        sheets.draw(path, title=title, images=images, captions=captions)


def _say(
    options: Options, class_names: Sequence[str], pairs: "Pairs", left_out: int, total: int
) -> None:
    from mpl_tf.pools import selection_list

    counts = np.bincount(pairs.classes, minlength=len(class_names))
    images = len(np.unique(pairs.positions))
    console.say(f"{len(pairs):,} pairs of image and class, of {images:,} of {total:,} images")
    rows: list[tuple[str, object]] = []
    last = np.cumsum(counts) - 1
    for k in np.argsort(counts, kind="stable")[:10].tolist():
        least = f", the last one {pairs.confidences[last[k]]:.4f} sure" if counts[k] else ""
        rows.append((console.printable(class_names[k]), f"{counts[k]:,}{least}"))
    console.say("Classes, those with fewest images first")
    console.say(console.table(rows))
    if empty := selection_list.empty_classes(class_names, counts):
        console.say(
            f"{empty[0].upper()}{empty[1:]}. A student of this selection does not learn them: the "
            "model names them too seldom; --candidates=P takes images by their P likeliest classes"
        )
    if left_out:
        console.say(f"{left_out:,} images are validation or test images, too, and left out")
    console.say(f"In {options.to}: selection.csv, about.json" + ", sheets/" * bool(options.sheets))


if __name__ == "__main__":
    sys.exit(main())
