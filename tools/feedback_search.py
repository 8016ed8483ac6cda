"""Where does feedback help a student beyond its UDA teacher? A search on real images, paired.

    python tools/feedback_search.py --seeds=10 --out=feedback_search

trains a network on digits or Fashion-MNIST under conditions that make labels scarce, wrong, foreign
or unbalanced, with every form of feedback, the same seeds for all: split, damage, initial weights
and batches of a seed are the same for every form. Finished runs are kept in `runs.csv`; start the
same command again and it continues. `table.md` has, for each condition, the mean test accuracy of
the EMA student without feedback, and for each form the paired difference to it with its 95%
interval.
"""

import argparse
import csv
import dataclasses
import pathlib
import shlex
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mpl_tf import cli, console

if __name__ == "__main__":
    console.start(sys.argv)  # first, because it imports TensorFlow without its messages

import numpy as np
from scipy import stats

from arguments import at_least, local_path, output_folder
from mpl_tf import config, data, files
from mpl_tf.data import splits
from mpl_tf.formulas import measures
from mpl_tf.options import ConfigError
from mpl_tf.runs import building, calibration, folder
from mpl_tf.runs import experiment as experiments

COMMAND = cli.Command(
    "python tools/feedback_search.py", __doc__, after_stop="The same command continues."
)

RUNS, TABLE = "runs.csv", "table.md"


def wrong_labels(split: splits.Split, share: float, seed: int) -> splits.Split:
    """A share of the labels of each class replaced by other classes, at random."""
    generator = np.random.default_rng([seed, 10])
    labels = split.labeled.labels.copy()
    classes = labels.max() + 1
    for k in range(classes):
        of_class = np.flatnonzero(split.labeled.labels == k)
        wrong = generator.permutation(of_class)[: round(share * len(of_class))]
        labels[wrong] = (k + generator.integers(1, classes, len(wrong))) % classes
    return dataclasses.replace(split, labeled=split.labeled.relabel(labels))


def foreign_classes(split: splits.Split, seed: int) -> splits.Split:
    """The first half of the classes is known; the unlabeled images have all."""
    del seed
    names = split.class_names[: len(split.class_names) // 2]

    def known(images):
        return images.take(np.flatnonzero(images.labels < len(names)))

    return dataclasses.replace(
        split,
        labeled=known(split.labeled),
        validation=known(split.validation),
        test=known(split.test),
        class_names=names,
    )


def unbalanced(split: splits.Split, seed: int) -> splits.Split:
    """Unlabeled classes fall off geometrically to a tenth, in a random order of classes."""
    generator, classes = np.random.default_rng([seed, 11]), len(split.class_names)
    shares = 10.0 ** -(generator.permutation(classes) / (classes - 1))
    kept = []
    for k, share in enumerate(shares):
        of_class = generator.permutation(np.flatnonzero(split.unlabeled.labels == k))
        kept.append(of_class[: round(share * len(of_class))])
    pool = split.unlabeled.take(np.sort(np.concatenate(kept)))
    return dataclasses.replace(split, unlabeled=pool)


def untouched(split: splits.Split, seed: int) -> splits.Split:
    """The split as it is."""
    del seed
    return split


COLUMNS = (
    *("dataset", "network", "steps", "condition", "form", "seed"),
    *("teacher", "student", "ema"),
)
Damage = Callable[[splits.Split, int], splits.Split]  # of a split and a seed

# dataset -> (few labels, more labels); Fashion-MNIST's recipe has 250
LABELS = {"digits": (20, 50), "fashion_mnist": (40, 250)}


def conditions(dataset: str) -> dict[str, tuple[int, Damage]]:
    """dict of name -> (labels, damage: a function of a split and a seed)."""
    few, more = LABELS[dataset]
    return {
        f"{few} labels": (few, untouched),
        f"{more} labels": (more, untouched),
        f"{more} labels, 20% wrong": (more, lambda split, seed: wrong_labels(split, 0.2, seed)),
        f"{more} labels, 40% wrong": (more, lambda split, seed: wrong_labels(split, 0.4, seed)),
        f"{more} labels of 5 classes, 10 unlabeled": (more, foreign_classes),
        f"{more} labels, unlabeled 10:1": (more, unbalanced),
    }


FORMS = {
    "none": {"feedback": "none"},
    "sampled": {"feedback": "sampled"},
    "exact": {"feedback": "exact"},
}


class Trainer:
    """One compiled method for all seeds of a form of feedback and a number of labels and classes.

    Args:
      settings: config.Config.
      split: of any seed.
    """

    def __init__(self, settings: config.Config, split: splits.Split):
        self.experiment = experiments.build(settings, split, path="")
        method = self.experiment.method
        optimizers = method.student_optimizer, method.teacher_optimizer
        self.variables = [*method.variables, *(v for o in optimizers for v in o.variables)]
        self.initial = [v.numpy() for v in self.variables]

    def run(self, split: splits.Split, seed: int) -> dict[str, float]:
        """Trains from the start; returns test accuracies of teacher, student and EMA."""
        settings, method = self.experiment.config, self.experiment.method
        settings = dataclasses.replace(settings, run=dataclasses.replace(settings.run, seed=seed))
        for variable, value in zip(self.variables, self.initial, strict=True):
            variable.assign(value)  # counters, momentum, states of dropout
        method.seed.assign(seed)
        for role in ("teacher", "student"):
            fresh = building.network(settings, len(split.class_names), split.labeled.shape, role)
            method.networks[role].set_weights(fresh.get_weights())
        method.ema.set_weights(method.student.get_weights())
        experiment = dataclasses.replace(self.experiment, config=settings, split=split)
        batches = experiment.batches(folder.TRAIN, 0)
        method.fit(batches, steps_per_epoch=settings.run.steps, verbose=0)
        return {
            name: measures.accuracy(logits, split.test.labels)
            for name, logits in calibration.logits(method.networks, split.test).items()
        }


def write_table(
    path: pathlib.Path, rows: list[dict[str, Any]], names: Iterable[str], dataset: str, command: str
) -> None:
    """Paired differences to the run without feedback, in percent."""
    done = {(r["condition"], r["form"], int(r["seed"])): 100 * float(r["ema"]) for r in rows}
    others = [f for f in FORMS if f != "none" and any(form == f for _, form, _ in done)]
    lines = [
        f"Test accuracy (%) of the EMA student on {dataset}; forms of feedback as paired "
        "differences to none, mean [95% interval].",
        "",
        "| condition | seeds | none | " + " | ".join(others) + " |",
        "|---|" + "---|" * (2 + len(others)),
    ]
    for condition in names:
        seeds = [
            s
            for (c, form, s) in done
            if c == condition
            and form == "none"
            and all((condition, other, s) in done for other in others)
        ]
        if len(seeds) < 2:
            continue
        base = [done[condition, "none", s] for s in seeds]
        cells = [f"{statistics.mean(base):.2f} ± {statistics.stdev(base):.2f}"]
        for form in others:
            gains = [done[condition, form, s] - b for s, b in zip(seeds, base, strict=True)]
            mean, error = statistics.mean(gains), stats.sem(gains)
            half = stats.t.ppf(0.975, len(gains) - 1) * error
            cells.append(f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}]")
        lines.append(f"| {condition} | {len(seeds)} | " + " | ".join(cells) + " |")
    files.write_text(str(path), "\n".join([*lines, "", f"`{command}`", ""]))


def read_runs(file: pathlib.Path, same: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of a runs.csv; none if there is no file.

    Raises:
      ConfigError: a column of `same` has another value than there.
    """
    if not file.exists():
        return []
    try:
        reader = csv.DictReader(files.read_text(file).splitlines())
        rows: list[dict[str, Any]] = list(reader)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"its columns must be {', '.join(COLUMNS)}")
        for row in rows:
            int(row["seed"]), float(row["ema"])
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise ConfigError(f"{file} is damaged: {files.reason(error)}. Move it away.") from error
    if any(row[name] != value for row in rows for name, value in same.items()):
        raise ConfigError(f"{file} has runs of other settings; choose another --out.")
    return rows


def write_runs(file: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replaces a runs.csv as a whole: a kill loses no run that was kept."""
    with (
        files.whole(str(file)) as partial,
        open(partial, "w", newline="", encoding="utf-8") as opened,
    ):
        writer = csv.DictWriter(opened, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line as a namespace; `conditions` are the names chosen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="digits", choices=LABELS, help="[digits]")
    parser.add_argument("--data_dir", type=local_path, default="", help="as in mpl_tf.train")
    parser.add_argument("--network", default="mlp", help="as in mpl_tf.train [mlp]")
    parser.add_argument("--conditions", default="", help="comma-separated parts of names [all]")
    parser.add_argument("--seeds", type=at_least(1), default=10, help="seeds 0, 1, ... [10]")
    parser.add_argument("--steps", type=at_least(1), default=1000, help="steps of a run [1000]")
    parser.add_argument(
        "--out", type=output_folder, default="feedback_search", help="folder [feedback_search]"
    )
    options = parser.parse_args(argv)
    names, parts = conditions(options.dataset), options.conditions.split(",")
    options.conditions = [name for name in names if any(part in name for part in parts)]
    if not options.conditions:
        parser.error(f"--conditions must be parts of {'; '.join(names)}")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is missing and writes the table.

    Returns:
      The exit status: 0 done, 2 bad input, 130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, lambda argv: (parse(argv), argv), run)


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Runs a search that is parsed; see `main`."""
    out = pathlib.Path(options.out)
    files.check_folder(out, [RUNS, TABLE])
    out.mkdir(parents=True, exist_ok=True)
    same = {
        "dataset": options.dataset,
        "network": options.network,
        "steps": str(options.steps),
    }
    file = out / RUNS
    rows = read_runs(file, same)
    done = {(r["condition"], r["form"], int(r["seed"])) for r in rows}
    shared = {"dataset": options.dataset, "data_dir": options.data_dir}
    shared |= {"network": options.network, "steps": options.steps}
    source = data.find(options.dataset).load(config.make(shared).data)
    trainers, of_dataset = {}, conditions(options.dataset)
    cells = [(c, f, s) for s in range(options.seeds) for c in options.conditions for f in FORMS]
    for number, (condition, form, seed) in enumerate(cells, 1):
        if (condition, form, seed) in done:
            continue
        num_labeled, damage = of_dataset[condition]
        settings = config.make({**shared, "num_labeled": num_labeled, "seed": seed, **FORMS[form]})
        config.check_data(settings, source)
        split = damage(experiments.make_split(settings, source), seed)
        key = (len(split.class_names), form, num_labeled)
        if key not in trainers:
            size = min(settings.run.labeled_batch, len(split.labeled))
            # seed 0, whichever comes first: the states of dropout start from it
            run = dataclasses.replace(settings.run, labeled_batch=size, seed=0)
            trainers[key] = Trainer(dataclasses.replace(settings, run=run), split)
        accuracy = trainers[key].run(split, seed)
        rows.append({**same, "condition": condition, "form": form, "seed": seed, **accuracy})
        write_runs(file, rows)
        console.say(
            f"[{number}/{len(cells)}] {condition}, {form}, seed {seed}: {accuracy['ema']:.3f}"
        )
    command = shlex.join(["python", "tools/feedback_search.py", *argv])
    write_table(out / TABLE, rows, of_dataset, options.dataset, command)
    console.say((out / TABLE).read_text(encoding="utf-8"))
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())
