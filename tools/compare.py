"""Runs several methods under equal conditions and writes one table.

    python tools/compare.py --methods=supervised,mpl:feedback=none,mpl --seeds=5 --out=comparison

A cell is one run of `python -m mpl_tf.train`: one method, one number of labels, one seed. Cells of
the same seed and number of labels share split, network and number of steps. Every finished cell is
kept: start the same command again after an interruption and it continues, in the middle of a cell
too. `--out` then holds a folder a cell, `table.md`, `table.csv`, `table.png` and `curves.png`.
"""

import argparse
import csv
import dataclasses
import json
import pathlib
import shlex
import statistics
import subprocess
import sys
import time

import matplotlib
from scipy import stats

matplotlib.use("Agg")
from matplotlib import pyplot as plt


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
      method: str, as in `--methods`: a method's name, then `:flag=value` any number of times.
      num_labeled: int.
      seed: int.
    """

    method: str
    num_labeled: int
    seed: int

    def name(self):
        """A folder name."""
        method = "".join(c if c.isalnum() or c in "._-" else "-" for c in self.method)
        return f"{method}-{self.num_labeled}-{self.seed}"

    def command(self, options, workdir):
        """The command line of this run."""
        method, *changes = self.method.split(":")
        command = [sys.executable, "-m", "mpl_tf.train", f"--dataset={options.dataset}"]
        command += [f"--method={method}", *(f"--{change}" for change in changes)]
        command += [f"--num_labeled={self.num_labeled}", f"--seed={self.seed}"]
        command += [f"--steps={options.steps}"] if options.steps else []
        command += [f"--{change}" for change in options.flags.split(",") if change]
        return [*command, f"--workdir={workdir}"]


def integers(text):
    """A comma-separated list of integers, each at least 1."""
    values = [int(part) for part in text.split(",")]
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"each must be at least 1; received {text}")
    return values


def positive(text):
    """An integer of at least 1."""
    return integers(text)[0]


def parse(argv):
    """The command line as a namespace."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="digits", help="as in mpl_tf.train [digits]")
    parser.add_argument(
        "--methods",
        default="supervised,mpl:feedback=none,mpl",
        help="comma-separated; flags of mpl_tf.train follow a name after colons [%(default)s]",
    )
    parser.add_argument("--num_labeled", type=integers, default=[50], help="comma-separated [50]")
    parser.add_argument("--seeds", type=positive, default=5, help="seeds 0, 1, ... of a cell [5]")
    parser.add_argument("--steps", type=positive, help="steps of every run [the dataset's recipe]")
    parser.add_argument(
        "--flags", default="", help="comma-separated flag=value for every run, of mpl_tf.train"
    )
    parser.add_argument("--out", default="comparison", help="folder of the results [comparison]")
    return parser.parse_args(argv)


def run(cell, options, out):
    """Runs a cell unless it has finished before; returns its results.json as a dict."""
    workdir = out / "cells" / cell.name()
    results, log = workdir / "results.json", out / "logs" / f"{cell.name()}.log"
    if not results.exists():
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a", encoding="utf-8") as file:
            status = subprocess.run(
                cell.command(options, workdir), stdout=file, stderr=subprocess.STDOUT, check=False
            ).returncode
        if status:
            tail = log.read_text(encoding="utf-8").strip().splitlines()[-3:]
            raise SystemExit(
                f"\n{cell.name()} ended with status {status}:\n" + "\n".join(tail) + f"\nLog: {log}"
            )
    return json.loads(results.read_text(encoding="utf-8"))


def accuracies(results):
    """dict of network -> accuracy on test images, or on validation images where there are none."""
    return results.get("test_accuracy") or results["validation_accuracy"]


def delivered(results):
    """Accuracy, in percent, of the network that a run delivers."""
    accuracy = accuracies(results)
    return 100 * (accuracy["ema"] if accuracy["finetuned"] is None else accuracy["finetuned"])


def spread(values):
    """Standard deviation of a sample; 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def interval(values):
    """Half the width of the 95% t-interval of the mean; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    return stats.t.ppf(0.975, len(values) - 1) * spread(values) / len(values) ** 0.5


def grouped(done):
    """dict of (method, num_labeled) -> list of results, in the order of their seeds."""
    groups = {}
    for cell, results in done.items():
        groups.setdefault((cell.method, cell.num_labeled), []).append(results)
    return groups


def measured_columns(options, groups):
    """The numbers of labels of which a cell is done, in the order asked for."""
    return [n for n in options.num_labeled if any(count == n for _, count in groups)]


def write_markdown(path, options, done, command):
    """Mean and standard deviation of the test accuracy, a row a method."""
    groups = grouped(done)
    columns = measured_columns(options, groups)
    lines = [
        f"Test accuracy (%) on {options.dataset}, mean ± standard deviation over "
        f"{options.seeds} seeds of the finetuned student, and the time of a run.",
        "",
        "| method | " + " | ".join(f"{n} labels" for n in columns) + " | seconds |",
        "|---|" + "---|" * (len(columns) + 1),
    ]
    for method in dict.fromkeys(key[0] for key in groups):
        cells = [groups.get((method, n), []) for n in columns]
        shown = [
            f"{statistics.mean(values):.2f} ± {spread(values):.2f}" if values else ""
            for values in ([delivered(r) for r in cell] for cell in cells)
        ]
        seconds = statistics.median(r["seconds"] for cell in cells for r in cell)
        lines.append(f"| {method} | " + " | ".join(shown) + f" | {seconds:.0f} |")
    path.write_text("\n".join([*lines, "", f"`{command}`", ""]), encoding="utf-8")


def write_csv(path, done):
    """Every cell's accuracies, a row a cell."""
    networks = ["teacher", "student", "ema", "finetuned"]
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["method", "num_labeled", "seed", *networks, "seconds", "weights_digest"])
        for cell, results in done.items():
            accuracy = [accuracies(results)[name] for name in networks]
            rows.writerow(
                [cell.method, cell.num_labeled, cell.seed, *accuracy]
                + [results["seconds"], results["weights_digest"]]
            )


def draw(path, options, done):
    """A dot a run, the mean of each method, and its 95% interval."""
    groups = grouped(done)
    columns = measured_columns(options, groups)
    width = 1.5 * max(len({method for method, _ in groups}), 2)
    figure, panels = plt.subplots(
        1, len(columns), figsize=(1 + width * len(columns), 4), squeeze=False, layout="constrained"
    )
    for axes, n in zip(panels[0], columns, strict=True):
        methods = [method for method, count in groups if count == n]
        for x, method in enumerate(methods):
            values = [delivered(r) for r in groups[method, n]]
            axes.plot([x - 0.12] * len(values), values, "o", color="gray", alpha=0.5, markersize=4)
            axes.errorbar(x, statistics.mean(values), interval(values), fmt="o", capsize=5)
        axes.set_xticks(range(len(methods)), [m.replace(":", "\n") for m in methods])
        axes.set_xlim(-0.5, len(methods) - 0.5)
        axes.set(title=f"{options.dataset}, {n} labels", ylabel="test accuracy (%)")
        axes.grid(axis="y", alpha=0.3)
    figure.supxlabel("grey: one seed; coloured: mean with 95% interval", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def read_curve(path, column="val_ema_accuracy"):
    """(steps, values) of a column of the training rows of a metrics.csv; values in percent."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["phase"] == "train" and r.get(column)]
    return [int(r["step"]) for r in rows], [100 * float(r[column]) for r in rows]


def draw_curves(path, options, done, out):
    """Validation accuracy of the EMA student by step: a thin line a run, a thick one their mean."""
    columns = measured_columns(options, grouped(done))
    figure, panels = plt.subplots(
        1, len(columns), figsize=(1 + 5 * len(columns), 4), squeeze=False, layout="constrained"
    )
    for axes, n in zip(panels[0], columns, strict=True):
        methods = dict.fromkeys(cell.method for cell in done if cell.num_labeled == n)
        for k, method in enumerate(methods):
            own = [c for c in done if c.method == method and c.num_labeled == n]
            curves = [read_curve(out / "cells" / c.name() / "metrics.csv") for c in own]
            for steps, values in curves:
                axes.plot(steps, values, color=f"C{k}", alpha=0.3, linewidth=0.8)
            length = min(len(steps) for steps, _ in curves)
            mean = [statistics.mean(v[i] for _, v in curves) for i in range(length)]
            axes.plot(curves[0][0][:length], mean, color=f"C{k}", label=method.replace(":", "\n"))
        axes.set(title=f"{options.dataset}, {n} labels", xlabel="step")
        axes.set_ylabel("validation accuracy of the EMA student (%)")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="x-small")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(argv=None):
    """Runs all cells that are missing and writes the tables."""
    argv = sys.argv[1:] if argv is None else argv
    options = parse(argv)
    out = pathlib.Path(options.out)
    # Seeds outermost: a comparison that is stopped early has every method at the same seeds.
    cells = [
        Cell(method, n, seed)
        for seed in range(options.seeds)
        for n in options.num_labeled
        for method in options.methods.split(",")
    ]
    command = shlex.join(["python", "tools/compare.py", *argv])
    done = {}
    for index, cell in enumerate(cells, 1):
        print(f"[{index}/{len(cells)}] {cell.name()} ", end="", flush=True)
        began = time.time()
        done[cell] = run(cell, options, out)
        print(f"{delivered(done[cell]):.2f}% ({time.time() - began:.0f} s)", flush=True)
        write_markdown(out / "table.md", options, done, command)
        write_csv(out / "table.csv", done)
        draw(out / "table.png", options, done)
        draw_curves(out / "curves.png", options, done, out)
    print("\n" + (out / "table.md").read_text(encoding="utf-8"))
    print(f"In {out}: table.md, table.csv, table.png, curves.png, and every run under cells/")


if __name__ == "__main__":
    main()
