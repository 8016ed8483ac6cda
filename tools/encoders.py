"""Says how good the features of encoders are, without training them any further.

    python tools/encoders.py --dataset=digits --networks=runs/digits-supervised-0,encoder.keras

An encoder is a network without what makes logits: of a file that Keras has saved, as
--network=file:MODEL takes it, or of a run folder. Its features of the labeled images of a dataset
are judged in two ways: by the weighted vote of the k nearest of them (kNN; cosine similarity,
weights exp(similarity / 0.07)), and by a logistic regression (linear), whose penalty is chosen on
validation images. Another row, `random`, is the same architecture untrained.

Accuracies are of validation images; choose by these, and take --on=test for the last figure alone.
The flags of `python -m mpl_tf.train` that say which images there are, and which of them are
labeled, mean the same here: --dataset, --num_labeled, --num_validation, --seed, --image_size,
--data_dir, --split_file, --skip_broken, --cache_dir. `--out` then holds `table.md` and `table.csv`.
"""

import argparse
import csv
import dataclasses
import io
import pathlib
import shlex
import sys
from collections.abc import Mapping, Sequence

from mpl_tf import cli, console

if __name__ == "__main__":
    console.start(sys.argv)  # first, because it imports TensorFlow without its messages

import numpy as np

from arguments import at_least, output_folder
from mpl_tf import config, data, files
from mpl_tf.data.dataset import Images
from mpl_tf.engine.roles import DELIVERED, ROLES
from mpl_tf.images.parts import check_outside
from mpl_tf.options import ConfigError

COMMAND = cli.Command("python tools/encoders.py", __doc__, failed="it does not end so")

TABLE, CSV = "table.md", "table.csv"
_OF_IMAGES = {
    *("dataset", "num_labeled", "num_validation", "seed", "image_size", "data_dir"),
    *("split_file", "skip_broken", "cache_dir"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Returns:
      The exit status: 0 done, 2 bad input, 130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, lambda argv: (*parse(argv), argv), run)


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command line as a namespace, and the flags of mpl_tf.train in it."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style, allow_abbrev=False)
    parser.add_argument(
        "--networks", required=True, metavar="FILE_OR_RUN,...", help="comma-separated encoders"
    )
    parser.add_argument(
        "--which",
        default=DELIVERED,
        choices=(DELIVERED, *ROLES),
        help="network of a run [%(default)s]",
    )
    parser.add_argument(
        "--on",
        default="validation",
        choices=("validation", "test"),
        help="images that accuracies are of [%(default)s]",
    )
    parser.add_argument(
        "--k", type=at_least(1), default=200, help="neighbours that vote, or all labeled ones [200]"
    )
    parser.add_argument(
        "--out", type=output_folder, default="encoders", help="folder of the table [encoders]"
    )
    return parser.parse_known_args(argv)


def run(options: argparse.Namespace, flags_of_images: list[str], argv: Sequence[str]) -> int:
    """Judges encoders; see `main`."""
    from judging import encoders, scores
    from mpl_tf.runs.experiment import make_split

    settings = _settings(flags_of_images)
    dataset = settings.run.dataset
    check_outside("--out", options.out, dataset)
    files.check_folder(options.out, [TABLE, CSV])
    names = list(dict.fromkeys(filter(None, options.networks.split(","))))
    if not names:
        raise ConfigError("--networks names no encoder.")
    source = data.find(dataset, settings.data.data_dir).load(settings.data)
    config.check_data(settings, source)
    split = make_split(settings, source)
    of_parts = {"labeled": split.labeled, "validation": split.validation, "test": split.test}
    parts = {name: part for name, part in of_parts.items() if part is not None and len(part)}
    _check(parts, split.class_names, options.on, dataset)
    num_classes = len(split.class_names)
    trained = [
        encoders.find(name, options.which, num_classes, split.labeled.shape) for name in names
    ]
    rows = []
    for encoder in (*trained, *encoders.untrained(trained, settings.run.seed)):
        console.say(f"{encoder.name} ...")
        judged = scores.of(
            encoder.backbone, parts, options.on, num_classes, options.k, settings.run.seed
        )
        rows.append((encoder.name, judged))
    command = shlex.join(["python", "tools/encoders.py", *argv])
    text = f"{_about(parts, options, dataset)}\n\n{scores.markdown(rows)}\n\n    {command}\n"
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    files.write_text(str(out / TABLE), text)
    files.write_text(str(out / CSV), _csv(rows))
    console.say(f"\n{text}\nIn {out}: {TABLE}, {CSV}")
    return cli.DONE


def _settings(flags_of_images: list[str]) -> config.Config:
    from mpl_tf.config import flags

    if unknown := sorted(flags.read(flags_of_images).keys() - _OF_IMAGES):
        raise ConfigError(
            f"{', '.join(f'--{name}' for name in unknown)} would have no effect here: of the flags "
            f"of mpl_tf.train, {', '.join(sorted(_OF_IMAGES))} count."
        )
    return flags.parse([*flags_of_images, "--method=supervised"]).config  # it needs labels alone


def _check(parts: Mapping[str, Images], class_names: Sequence[str], on: str, dataset: str) -> None:
    """Refuses a part that there is not, and classes without a label, before long work."""
    if on not in parts:
        remedy = "set --num_validation" if on == "validation" else "take --on=validation"
        raise ConfigError(f"--on={on} measures on {on} images, and {dataset} has none: {remedy}.")
    absent = np.setdiff1d(np.arange(len(class_names)), parts["labeled"].labels)
    if len(absent):
        raise ConfigError(
            f"each class needs a labeled image; {len(absent)} have none, such as "
            f"{class_names[absent[0]]}."
        )


def _about(parts: Mapping[str, Images], options: argparse.Namespace, dataset: str) -> str:
    labeled = len(parts["labeled"])
    chosen = "validation images" if "validation" in parts else "cross-validation"
    if options.on == "validation":
        chosen = "the same images, which flatters linear a little"
    return (
        f"Accuracy, in percent, of {len(parts[options.on]):,} {options.on} images of {dataset}; "
        f"{labeled:,} labeled images, k={min(options.k, labeled)}, penalty chosen on {chosen}."
    )


def _csv(rows: Sequence[tuple]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["encoder", *(field.name for field in dataclasses.fields(rows[0][1]))])
    writer.writerows([name, *dataclasses.astuple(judged)] for name, judged in rows)
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
