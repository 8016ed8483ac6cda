"""Runs several methods under equal conditions and writes one table.

    python tools/compare.py --methods=supervised,mpl:feedback=none,mpl --seeds=5 --out=comparison
    python tools/compare.py --dataset=fashion_mnist --methods=all --num_labeled=40,250

A cell is one run of `python -m mpl_tf.train`: one method, one number of labels, one seed. Cells of
the same seed and number of labels share split, network, number of steps, batches and steps of
finetuning; what else a method needs is its own, as in `flags/<dataset>/<method>.flags`. A method
that trains several students one after the other, Noisy Student, divides the steps among them. Every
finished cell is kept: start the same command again after an interruption and it continues, in the
middle of a cell too. `--out` then holds a folder a cell, `table.md`, `table.csv`, `table.png` and
`curves.png`.
"""

import argparse
import collections
import contextlib
import pathlib
import shlex
import sys
from collections.abc import Sequence

from mpl_tf import cli, console, files

if __name__ == "__main__":
    console.start(sys.argv)  # first, because it imports TensorFlow without its messages

import tqdm

from arguments import at_least, integers, output_folder
from comparing import cells, pictures, tables
from mpl_tf.images.parts import check_outside
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder as run_folder

COMMAND = cli.Command(
    "python tools/compare.py",
    __doc__,
    failed="a cell failed; the others are run nevertheless",
    after_stop="The same command continues.",
)

TABLE, CSV, PICTURE, CURVES = "table.md", "table.csv", "table.png", "curves.png"


ALL = "all"


def methods(text: str) -> list[str]:
    """An argparse type: comma-separated methods, each as `cells.parts` takes it, or "all"."""
    names = list(dict.fromkeys(text.split(",")))
    defined = {name: cells.parts(name)[1].split(":")[0] for name in names}
    unknown = [name for name in names if defined[name] not in METHODS and name != ALL]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"methods must be all, or of {', '.join(METHODS)}; received {', '.join(unknown)}"
        )
    called = [cells.parts(name)[0] for name in names]
    if wrong := [name for name in called if not name.strip() or "|" in name]:
        raise argparse.ArgumentTypeError(
            f"the name of a method must not be empty, nor have a |; received {wrong[0]!r}"
        )
    return names


def named(options: argparse.Namespace) -> list[str]:
    """The methods of a comparison, with the names that "all" stands for.

    All are those that can run with these flags: a frozen backbone, for one, leaves a method that
    learns an encoder nothing to do. Which ones are left out, and why, is said.

    Raises:
      options.ConfigError: none of them can run, in the words of the last; or two have the same name
        or the same definition, and so the same folder.
    """
    names = _all_named(options) if ALL in options.methods else list(options.methods)
    for which, words in enumerate(("name", "definition")):
        counts = collections.Counter(cells.parts(name)[which] for name in names)
        part, count = counts.most_common(1)[0]
        if count > 1:
            raise ConfigError(f"--methods has {count} methods with the {words} {part}.")
    return names


def _all_named(options: argparse.Namespace) -> list[str]:
    """`named` where "all" is among the methods."""
    can_run, refused = [], {}
    for name in METHODS:
        try:
            for num_labeled in options.num_labeled:
                cells.Cell(name, num_labeled, options.first_seed).check(options)
            can_run.append(name)
        except ConfigError as error:
            refused[name] = error
    if not can_run:
        raise refused[name]
    for name, error in refused.items():
        console.say(f"{name} is left out of all: {error}")
    lists = [can_run if name == ALL else [name] for name in options.methods]
    return list(dict.fromkeys(name for names in lists for name in names))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line as a namespace."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--dataset", default="digits", help="as in mpl_tf.train [digits]")
    parser.add_argument(
        "--methods",
        type=methods,
        default="supervised,mpl:feedback=none,mpl",
        help="comma-separated; all is every method that can run with these flags; flags of "
        "mpl_tf.train follow a name after colons; 'MY NAME=' before it is another name for tables "
        "and pictures [%(default)s]",
    )
    count = at_least(1)
    parser.add_argument(
        "--num_labeled", type=integers(0), default=[50], help="comma-separated; 0 is all [50]"
    )
    parser.add_argument("--seeds", type=count, default=5, help="how many seeds a cell has [5]")
    parser.add_argument(
        "--first_seed", type=at_least(0), default=0, help="the first of them; others follow [0]"
    )
    parser.add_argument(
        "--on",
        default="test",
        choices=("test", "validation"),
        help="images that accuracies are of; choose settings on validation images, and on other "
        "seeds than those of a table [test, or validation where there are none]",
    )
    parser.add_argument("--steps", type=count, help="steps of every run [the dataset's recipe]")
    parser.add_argument(
        "--flags", default="", help="comma-separated flag=value for every run, of mpl_tf.train"
    )
    parser.add_argument(
        "--against",
        type=lambda text: text.split(","),
        default=[],
        help="comma-separated, methods of which a table has the others' differences [the first "
        "Meta Pseudo Labels]",
    )
    parser.add_argument("--jobs", type=count, default=1, help="runs at a time [1]")
    parser.add_argument(
        "--out", type=output_folder, default="comparison", help="folder of the results [comparison]"
    )
    options = parser.parse_args(argv)
    options.num_labeled = list(dict.fromkeys(options.num_labeled))
    return options


def write(out: pathlib.Path, options: argparse.Namespace, done: tables.Done, command: str) -> None:
    """Writes tables and pictures of what is done so far."""
    curves = {cell: _curve(out, cell) for cell in done}
    last = {cell: tables.last_of(*curve) for cell, curve in curves.items()}
    text = tables.markdown(options, options.methods, done, last, command)
    files.write_text(str(out / TABLE), text)
    tables.write_csv(out / CSV, done)
    classes = cells.num_classes(done, out)
    pictures.draw(out / PICTURE, options, options.methods, done, classes)
    (out / CURVES).unlink(missing_ok=True)
    if any(steps for steps, _ in curves.values()):  # without validation images there is none
        pictures.draw_curves(out / CURVES, options, options.methods, curves, done, classes)


def _curve(out: pathlib.Path, cell: cells.Cell) -> pictures.Curve:
    """The curve of a cell; an empty one, and a word, where its log is damaged."""
    try:
        return pictures.read_curve(out / "cells" / cell.name() / run_folder.METRICS)
    except ConfigError as error:
        console.complain(f"{cell.name()} has no curve: {error}")
        return [], []


def main(argv: Sequence[str] | None = None) -> int:
    """Runs all cells that are missing and writes the tables.

    Returns:
      int, the exit status: 0; 1 if a cell failed, the others are run nevertheless; 2 for flags that
      a method has no use for, before anything runs; 130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, lambda argv: (parse(argv), argv), run)


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Runs a comparison; see `main`."""
    out = pathlib.Path(options.out)
    check_outside("--out", str(out), options.dataset)
    files.check_folder(out, [TABLE, CSV, PICTURE, CURVES])
    for folder in ("cells", "logs"):
        files.check_folder(out / folder)
    options.methods = named(options)
    tables.references(options.methods, options.against)  # refuses what is no row
    rows = cells.all_cells(options.methods, options.num_labeled, options.seeds, options.first_seed)
    command = shlex.join(["python", "tools/compare.py", *argv])
    for cell in (cell for cell in rows if cell.seed in (rows[0].seed, rows[-1].seed)):
        try:
            cell.check(options)
        except ConfigError as error:
            raise ConfigError(
                f"{cell.method}, {tables.labels(cell.num_labeled)}: {error}"
            ) from error
    kept = {cell for cell in rows if cells.is_finished(cell, out)}
    done, failed = {}, []

    def write_done():
        write(out, options, {cell: done[cell] for cell in rows if cell in done}, command)

    with (
        tqdm.tqdm(total=len(rows), unit="cell", file=sys.stdout) as bar,
        contextlib.closing(cells.run_all(rows, options, out)) as finished,
    ):
        for cell, results, error in finished:
            if error:
                failed.append(error)
                bar.write(str(error))
            else:
                done[cell] = results
                bar.write(f"{cell.name()}: {tables.delivered(results):.2f}%")
                if cell not in kept:  # drawing takes longer than reading
                    write_done()
            bar.update()
    if done:
        write_done()
        console.say("\n" + (out / TABLE).read_text(encoding="utf-8"))
        there = [name for name in (TABLE, CSV, PICTURE, CURVES) if (out / name).exists()]
        console.say(f"In {out}: {', '.join(there)}, and every run under cells/")
    if failed:
        console.say(f"{len(failed)} of {len(rows)} cells failed; their last words are above.")
    return cli.FAILED if failed else cli.DONE


if __name__ == "__main__":
    sys.exit(main())
