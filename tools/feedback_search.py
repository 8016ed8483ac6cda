"""Where does feedback help a student beyond its UDA teacher? A search on real images, paired.

    python tools/feedback_search.py --seeds=10 --out=feedback_search

trains a network on digits under conditions that make labels scarce, wrong, foreign or
unbalanced, with every form of feedback, the same seeds for all: split, damage, initial weights and
batches of a seed are the same for every form. Finished runs are kept in `runs.csv`; start the same
command again and it continues. `table.md` has, for each condition, the mean test accuracy of the
EMA student without feedback, and for each form the paired difference to it with its 95% interval.
"""

import argparse
import csv
import dataclasses
import pathlib
import shlex
import statistics
import sys

from mpl_tf import console

if __name__ == "__main__":
    console.start(sys.argv)  # first, because it imports TensorFlow without its messages

import keras
import numpy as np
from scipy import stats

import mpl_tf
from mpl_tf import config, evaluation, training
from mpl_tf.data import pipeline, splits
from mpl_tf.data.dataset import Images


def relabel(images, labels):
    """`images` with other labels."""
    return Images(images.images, labels, images.ids)


def wrong_labels(split, share, seed):
    """A share of the labels of each class replaced by other classes, at random."""
    generator = np.random.default_rng([seed, 10])
    labels = split.labeled.labels.copy()
    classes = labels.max() + 1
    for k in range(classes):
        of_class = np.flatnonzero(split.labeled.labels == k)
        wrong = generator.permutation(of_class)[: round(share * len(of_class))]
        labels[wrong] = (k + generator.integers(1, classes, len(wrong))) % classes
    return dataclasses.replace(split, labeled=relabel(split.labeled, labels))


def foreign_classes(split, seed):
    """Digits 0 to 4 are known; the unlabeled images have all ten."""
    del seed

    def known(images):
        return images.take(np.flatnonzero(images.labels < 5))

    return dataclasses.replace(
        split,
        labeled=known(split.labeled),
        validation=known(split.validation),
        test=known(split.test),
    )


def unbalanced(split, seed):
    """Unlabeled classes fall off geometrically to a tenth, in a random order of classes."""
    generator = np.random.default_rng([seed, 11])
    shares = 10.0 ** -(generator.permutation(10) / 9)
    kept = []
    for k, share in enumerate(shares):
        of_class = generator.permutation(np.flatnonzero(split.unlabeled.labels == k))
        kept.append(of_class[: round(share * len(of_class))])
    pool = split.unlabeled.take(np.sort(np.concatenate(kept)))
    return dataclasses.replace(split, unlabeled=pool)


# name -> (labels, damage of a split by seed)
CONDITIONS = {
    "20 labels": (20, lambda split, seed: split),
    "50 labels": (50, lambda split, seed: split),
    "50 labels, 20% wrong": (50, lambda split, seed: wrong_labels(split, 0.2, seed)),
    "50 labels, 40% wrong": (50, lambda split, seed: wrong_labels(split, 0.4, seed)),
    "50 labels of 5 classes, 10 unlabeled": (50, foreign_classes),
    "50 labels, unlabeled 10:1": (50, unbalanced),
}
FORMS = {
    "none": {"feedback": "none"},
    "sampled": {"feedback": "sampled"},
    "exact": {"feedback": "exact"},
}


def make_split(condition, seed):
    """The damaged split of a condition and a seed."""
    num_labeled, damage = CONDITIONS[condition]
    dataset = mpl_tf.DATASETS["digits"]
    train, test = dataset.load()
    return damage(splits.split(train, test, num_labeled, dataset.num_validation, seed), seed)


class Trainer:
    """One compiled method for all seeds of a number of classes and a form of feedback.

    Args:
      network: str, of mpl_tf.NETWORKS.
      classes: int.
      form: str, of FORMS.
      batch: int, labeled images a step.
      steps: int.
    """

    def __init__(self, network, classes, form, batch, steps):
        self.classes, self.batch = classes, batch
        self.settings = config.make({"network": network, "steps": steps, **FORMS[form]})
        rates = self.settings.optimizer

        def optimizer(role):
            peak = getattr(rates, f"{role}_learning_rate") * batch / 256
            warmup = getattr(rates, f"{role}_warmup_steps")
            wait = rates.student_wait_steps if role == "student" else 0
            schedule = mpl_tf.WarmupCosine(peak, steps, wait=wait, warmup=warmup)
            return keras.optimizers.SGD(schedule, momentum=rates.momentum, nesterov=True)

        hyperparameters = dataclasses.asdict(self.settings.method)
        self.method = mpl_tf.MetaPseudoLabels(
            self.network("teacher", 0), self.network("student", 0), **hyperparameters
        )
        self.method.compile(
            optimizer("student"), optimizer("teacher"), weight_decay=rates.weight_decay
        )
        optimizers = self.method.student_optimizer, self.method.teacher_optimizer
        self.variables = [*self.method.variables, *(v for o in optimizers for v in o.variables)]
        self.initial = [v.numpy() for v in self.variables]

    def network(self, role, seed):
        """A freshly initialised network."""
        build = mpl_tf.NETWORKS[self.settings.run.network]
        return build(self.classes, (8, 8, 1), seed=training.derived_seed(seed, role))

    def run(self, split, seed):
        """Trains from the start; returns test accuracies of teacher, student and EMA."""
        method, dataset = self.method, mpl_tf.DATASETS["digits"]
        for variable, value in zip(self.variables, self.initial, strict=True):
            variable.assign(value)  # counters, momentum, states of dropout
        method.seed.assign(seed)
        for role in ("teacher", "student"):
            method.networks[role].set_weights(self.network(role, seed).get_weights())
        method.ema.set_weights(method.student.get_weights())
        data = pipeline.training_batches(
            split,
            labeled_batch=self.batch,
            unlabeled_batch=self.batch * self.settings.run.unlabeled_ratio,
            views=method.unlabeled_views,
            weak=dataset.weak,
            strong=dataset.strong,
            seed=training.derived_seed(seed, "train"),
        )
        method.fit(data, steps_per_epoch=self.settings.run.steps, verbose=0)
        return {
            name: evaluation.accuracy(
                evaluation.probabilities(network, split.test.images), split.test.labels
            )
            for name, network in method.networks.items()
        }


def write_table(path, rows, command):
    """Paired differences to the run without feedback, in percent."""
    done = {(r["condition"], r["form"], int(r["seed"])): 100 * float(r["ema"]) for r in rows}
    others = [f for f in FORMS if f != "none" and any(form == f for _, form, _ in done)]
    lines = [
        "Test accuracy (%) of the EMA student on digits; forms of feedback as paired differences "
        "to none, mean [95% interval].",
        "",
        "| condition | seeds | none | " + " | ".join(others) + " |",
        "|---|" + "---|" * (2 + len(others)),
    ]
    for condition in CONDITIONS:
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
    path.write_text("\n".join([*lines, "", f"`{command}`", ""]), encoding="utf-8")


def chosen(names):
    """An argparse type: the members of `names` that hold one of the comma-separated parts."""

    def convert(text):
        found = [name for name in names if any(part in name for part in text.split(","))]
        if not found:
            raise argparse.ArgumentTypeError(f"must be parts of {', '.join(names)}")
        return found

    return convert


def main(argv=None):
    """Runs what is missing and writes the table."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="mlp", choices=mpl_tf.NETWORKS, help="[mlp]")
    every = "comma-separated parts of names [all]"
    parser.add_argument(
        "--conditions", type=chosen(CONDITIONS), default=list(CONDITIONS), help=every
    )
    parser.add_argument("--seeds", type=int, default=10, help="seeds 0, 1, ... [10]")
    parser.add_argument("--steps", type=int, default=1000, help="steps of a run [1000]")
    parser.add_argument("--out", default="feedback_search", help="folder [feedback_search]")
    options = parser.parse_args(argv)
    if min(options.seeds, options.steps) < 1:
        parser.error("--seeds and --steps must be at least 1")
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    columns = ["network", "condition", "form", "seed", "steps", "teacher", "student", "ema"]
    file = out / "runs.csv"
    rows = []
    if file.exists():
        with open(file, newline="", encoding="utf-8") as source:
            rows = list(csv.DictReader(source))
    same = {"network": options.network, "steps": str(options.steps)}
    if any(r[name] != value for r in rows for name, value in same.items()):
        parser.error(f"{file} has runs of another network or number of steps; choose another --out")
    done = {(r["condition"], r["form"], int(r["seed"])) for r in rows}
    trainers = {}
    command = shlex.join(["python", "tools/feedback_search.py", *argv])
    cells = [(c, f, s) for s in range(options.seeds) for c in options.conditions for f in FORMS]
    for number, (condition, form, seed) in enumerate(cells, 1):
        if (condition, form, seed) in done:
            continue
        split = make_split(condition, seed)
        classes, batch = int(split.test.labels.max()) + 1, min(32, len(split.labeled))
        key = (classes, form, batch)
        if key not in trainers:
            trainers[key] = Trainer(options.network, *key, options.steps)
        accuracy = trainers[key].run(split, seed)
        rows.append({**same, "condition": condition, "form": form, "seed": seed, **accuracy})
        with open(file, "w", newline="", encoding="utf-8") as target:
            writer = csv.DictWriter(target, columns)
            writer.writeheader()
            writer.writerows(rows)
        print(
            f"[{number}/{len(cells)}] {condition}, {form}, seed {seed}: {accuracy['ema']:.3f}",
            flush=True,
        )
    write_table(out / "table.md", rows, command)
    print((out / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
