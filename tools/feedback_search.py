"""What does feedback bring Meta Pseudo Labels? Chosen on some seeds, measured on others, paired.

    python tools/feedback_search.py --dataset=digits --seeds=10 --out=feedback_search

First the method is made as good as it is without feedback: each combination of the values in
`--grid` is trained with each number of labels, on seeds from 100 on, and the one with the greatest
mean accuracy on validation images is kept. Then the weight of exact feedback is chosen from
`--weights` on top of it, likewise. Both are frozen. Then seeds 0, 1, ... are trained with and
without feedback, under conditions that make labels scarce, wrong, foreign or unbalanced, or the
consistency term too strong: split, damage, initial weights and batches of a seed are the same for
all. With few labels there are other forms and controls: credits of other images; of credits what
they say of classes, and what they say of images, alone; a supervised term of the gradient norm of
the feedback; no feedback, but labels whose classes are made equally frequent; and feedback from
labels that nothing else uses.

`--out` holds `runs.csv`, a row a run, `table.md` and `picture.png`. Every run is kept as it is
done: start the same command again after an interruption and it continues. A run in which a number
becomes NaN or infinite has failed: it is kept as such, and its options are not chosen.
"""

import argparse
import pathlib
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from mpl_tf import cli, console

if __name__ == "__main__":
    console.start(sys.argv)  # first, because it imports TensorFlow without its messages


import run_flags
from arguments import at_least, integers, output_folder
from comparing.tables import dataset_name
from mpl_tf import files
from mpl_tf.config import flags
from mpl_tf.images.parts import check_outside
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder as run_folder
from searching import choosing, conditions, ledger, pictures, tables
from searching.choosing import FIRST_SEED
from searching.search import RUNS, SETTINGS, Search
from searching.trials import Trial
from searching.variants import FEEDBACK, NONE, VARIANTS

COMMAND = cli.Command(
    "python tools/feedback_search.py",
    __doc__,
    failed="there is nothing to choose: of each combination, or weight, a run failed",
    after_stop="The same command continues.",
)

TABLE, PICTURE = "table.md", "picture.png"
GRID = "uda_weight=0:0.5:2,label_temperature=1:0.1"
FEW = 5  # labels a class up to which there are controls, and with which conditions are damaged

# What a search sets itself, or leaves as it is: all runs are on one device.
SET = ("dataset", "method", "num_labeled", "seed", "split_file", "deliver", "strategy", "replicas")
SET += ("stages", "deterministic", "feedback", "feedback_weight", "feedback_scale")
# Images are read once, and those that options are chosen on are the same for all of them.
OF_IMAGES = ("data_dir", "image_size", "extra", "skip_broken", "num_validation")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line as a namespace."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    count = at_least(1)

    def seeds(text: str) -> int:
        if (number := int(count(text))) > FIRST_SEED:
            raise argparse.ArgumentTypeError(
                f"must be at most {FIRST_SEED}, from which on seeds are to choose on; "
                f"received {number}"
            )
        return number

    seeds.__name__ = "int"  # argparse says: invalid int value
    parser.add_argument("--dataset", default="digits", help="as in mpl_tf.train [digits]")
    parser.add_argument(
        "--flags", default="", help="comma-separated flag=value for every run, of mpl_tf.train"
    )
    parser.add_argument(
        "--labels", type=integers(1), default=[1, 2, 5, 20], help="of each class [1,2,5,20]"
    )
    parser.add_argument(
        "--grid",
        default=GRID,
        help="flag=value:value:..., comma-separated: of which combinations the best without "
        "feedback is taken [%(default)s]",
    )
    parser.add_argument(
        "--weights", type=_numbers, default="0.3,1,3,10,30", help="of feedback [%(default)s]"
    )
    parser.add_argument(
        "--search_seeds",
        type=count,
        default=5,
        help=f"seeds {FIRST_SEED}, {FIRST_SEED + 1}, ... to choose on [5]",
    )
    parser.add_argument("--seeds", type=seeds, default=10, help="seeds 0, 1, ... to measure [10]")
    parser.add_argument(
        "--out", type=output_folder, default="feedback_search", help="folder [feedback_search]"
    )
    return parser.parse_args(argv)


def _numbers(text: str) -> list[float]:
    low = at_least(0, float)
    values = [low(part) for part in text.split(",")]
    if 0 in values:
        raise argparse.ArgumentTypeError("must be above 0; runs without feedback are there anyway")
    return values


_numbers.__name__ = "numbers"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is missing and writes table and picture.

    Returns:
      The exit status: 0 done, 1 there is nothing to choose, 2 bad input, 130 stopped by Ctrl-C,
      143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, lambda argv: (parse(argv), argv), run)


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Runs a search that is parsed; see `main`."""
    out = pathlib.Path(options.out)
    check_outside("--out", str(out), options.dataset)
    files.check_folder(out, [RUNS, TABLE, PICTURE, SETTINGS])
    of_run = [f"--dataset={options.dataset}", "--method=mpl"]
    of_run += run_flags.arguments(options.flags, SET)
    job = flags.parse(of_run)
    grid = choosing.combinations(_values(options.grid, of_run))
    search = Search(out, job)
    per_class = list(dict.fromkeys(options.labels))
    by_labels = conditions.of_labels(per_class)
    faults = conditions.of_faults(FEW, search.source) if FEW in per_class else []
    weights = list(dict.fromkeys(options.weights))
    for each in grid:
        weighted = {**each, "feedback_weight": weights[0]}
        search.check(Trial(c, v, weighted, 0) for c in [*by_labels, *faults] for v in VARIANTS)
    search.check(choosing.trials_with(grid[0], weights, by_labels, 1))
    with run_folder.lock(str(out), "out"):
        search.start()
        rows, choice = _rows(search, options, grid, weights, by_labels, faults)
        command = shlex.join(["python", "tools/feedback_search.py", *argv])
        name = dataset_name(options.dataset)
        text = tables.markdown(rows, [*by_labels, *faults], choice, name, command)
        files.write_text(str(out / TABLE), text)
        pictures.draw(out / PICTURE, rows, [*by_labels, *faults], choice, name)
    console.say("\n" + text)
    console.say(f"In {out}: {TABLE}, {PICTURE}, {RUNS}")
    return cli.DONE


def _rows(
    search: Search,
    options: argparse.Namespace,
    grid: Sequence[choosing.Options],
    weights: Sequence[float],
    by_labels: Sequence[conditions.Condition],
    faults: Sequence[conditions.Condition],
) -> tuple[list[ledger.Row], choosing.Choice]:
    """Runs what is missing: the rows of all, and what was chosen."""
    few = [c for c in by_labels if c.per_class <= FEW]
    trials = choosing.trials_without(grid, by_labels, options.search_seeds)
    rows = search.run("without feedback", trials)
    best, _ = choosing.best_without(rows, grid)[0]
    trials = choosing.trials_with(best, weights, by_labels, options.search_seeds)
    rows += search.run("weights", trials)
    choice = choosing.choose(rows, grid, weights)
    chosen = {**choice.options, "feedback_weight": choice.weight}
    # Without a condition that is what was chosen.
    faults = [c for c in faults if not c.changes or not c.changes.items() <= chosen.items()]

    def measured(seed: int) -> Iterable[Trial]:
        for condition in (*by_labels, *faults):
            yield Trial(condition, NONE, choice.options, seed)
            yield Trial(condition, FEEDBACK, chosen, seed)
        for condition in few:
            yield from (Trial(condition, v, chosen, seed) for v in VARIANTS[2:])

    trials = (trial for seed in range(options.seeds) for trial in measured(seed))
    rows += search.run("measured", trials, "test")
    return rows, choice


def _values(grid: str, of_run: Sequence[str]) -> dict[str, list[Any]]:
    """Option name -> its values, of a `--grid`.

    Raises:
      ConfigError: it has a flag that is none, that the search sets, or that is there twice; or a
        value that a flag does not take.
    """
    values: dict[str, list[Any]] = {}
    for part in grid.split(",") if grid else []:
        name, equals, texts = part.partition("=")
        if not equals or name in values:
            raise ConfigError(f"--grid must be flag=value:value,...; received {grid!r}.")
        run_flags.check([name], (*SET, *OF_IMAGES), "--grid")
        jobs = [flags.parse([*of_run, f"--{name}={text}"]) for text in texts.split(":")]
        values[name] = list(dict.fromkeys(job.settings[name] for job in jobs))
    return values


if __name__ == "__main__":
    sys.exit(main())
