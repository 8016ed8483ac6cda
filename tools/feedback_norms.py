"""How large the terms of a Meta Pseudo Labels teacher's loss are, step by step: gradient norms.

    python tools/feedback_norms.py --dataset=digits --out=digits_norms
    python tools/feedback_norms.py --draw=digits_norms,fashion_norms --out=feedback_norms

trains with feedback exact, dot and sampled, of weight 1 on the paper's scale, and measures in every
step the gradient of each term by the teacher's weights, before weight decay and clipping: of the
labels, of consistency and of the feedback, each with its weight, and of the feedback divided by the
student's step, which does not follow its rate: that is the scale `unit` of exact. A scalar form has
a single draw of its labels in a step, and the norm is that of its noise, too. `--out` then holds
`norms.csv` with the medians of 40 equal parts of the steps, `norms.md` and `norms.png`. It takes
three backward passes of the teacher more a step, on one device; the training itself is the same.
"""

import argparse
import pathlib
import shlex
import sys
from collections.abc import Sequence

from mpl_tf import cli, console

if __name__ == "__main__":
    console.start(sys.argv)  # first, because it imports TensorFlow without its messages

import keras
import numpy as np
import tensorflow as tf

import norms_results
import run_flags
from arguments import output_folder
from comparing.tables import dataset_name
from mpl_tf import MetaPseudoLabels, config, data, files
from mpl_tf.config import flags
from mpl_tf.data import splits
from mpl_tf.engine import update
from mpl_tf.formulas import feedback
from mpl_tf.images.parts import check_outside
from mpl_tf.runs import cached, callbacks, folder, head_start
from mpl_tf.runs import experiment as experiments
from norms_results import FORMS, NORMS, PICTURE, TABLE

COMMAND = cli.Command(
    "python tools/feedback_norms.py", __doc__, failed="a loss became NaN or infinite"
)

# Flags of every run.
SET = {
    "method": "mpl",
    "feedback_weight": "1",
    "feedback_scale": "step",
    "strategy": "auto",
    "steps_per_execution": "1",
}


class Norms(keras.callbacks.Callback):
    """Measures the terms of a teacher's loss in every step of `fit`; changes no weight.

    Args:
      method: compiled, with feedback of the scale "step". Its feedback share is not logged.

    Attributes:
      steps: list of floats [4], the norms of a step in the order of `norms_results.TERMS`.
    """

    def __init__(self, method: MetaPseudoLabels):
        super().__init__()
        self.method, self.steps = method, list[list[float]]()
        self._norm = {
            name: tf.Variable(0.0, trainable=False) for name in ("supervised", "uda", "feedback")
        }
        self._step_factor = 0.0
        method.log_share = self._measure  # a step calls it while its tape has the terms

    def _measure(self, tape, terms, logits):
        variables = self.method.teacher.trainable_variables
        for name, norm in self._norm.items():
            if tf.is_tensor(terms[name]):
                length = tf.linalg.global_norm(tape.gradient(terms[name], variables))
                norm.assign(tf.cast(length, norm.dtype))

    def on_train_batch_begin(self, batch: int, logs: callbacks.Logs = None) -> None:
        optimizer = self.method.student_optimizer
        sgd = update.inner_optimizer(optimizer)
        rate = float(optimizer.learning_rate)
        self._step_factor = feedback.step_factor(rate, sgd.momentum, sgd.nesterov)

    def on_train_batch_end(self, batch: int, logs: callbacks.Logs = None) -> None:
        supervised, uda, of_feedback = (float(norm) for norm in self._norm.values())
        unit = of_feedback / self._step_factor if self._step_factor else 0.0
        self.steps.append([supervised, uda, of_feedback, unit])


def settings_of(options: argparse.Namespace, form: str) -> config.Config:
    """The configuration of the run with a form of feedback.

    Raises:
      ConfigError: --flags has what is no flag of mpl_tf.train, or what this tool sets.
    """
    of_run = run_flags.arguments(options.flags, {*SET, "dataset", "feedback"})
    values = {"dataset": options.dataset, "feedback": form, **SET}
    fixed = [f"--{name}={value}" for name, value in values.items()]
    return flags.parse([*fixed, *of_run]).config


def measure(settings: config.Config, split: splits.Split, out: pathlib.Path) -> np.ndarray:
    """Trains; returns the norms of every step, [steps, 4] in the order of `norms_results.TERMS`."""
    experiment = experiments.build(settings, split, str(out))
    experiment.prepare()
    head_start.start(experiment)
    norms = Norms(experiment.method)
    experiment.method.fit(
        experiment.batches(folder.TRAIN, 0),
        steps_per_epoch=settings.run.steps,
        renew_statistics=False,
        verbose=0,
        callbacks=[callbacks.StopOnNonFinite(folder.TRAIN), norms],
    )
    return np.array(norms.steps)


def measure_all(options: argparse.Namespace, out: pathlib.Path) -> list[norms_results.Row]:
    """Trains with every form of feedback; returns the rows of norms.csv."""
    check_outside("--out", str(out), options.dataset)
    settings = {form: settings_of(options, form) for form in FORMS}
    first = settings[FORMS[0]]
    source = data.find(options.dataset, first.data.data_dir).load(
        cached.data_options(first, str(out))
    )
    config.check_data(first, source)
    split = experiments.make_split(first, source)
    head_start.check(first, split)
    network = "cached features" if first.is_cached else dataset_name(first.run.network)
    run = f"{dataset_name(options.dataset)}, {len(split.labeled)} labels, {network}"
    measured: list[norms_results.Row] = []
    for number, form in enumerate(FORMS, 1):
        console.say(f"[{number}/{len(FORMS)}] {form}, {first.run.steps} steps")
        try:
            norms = measure(settings[form], split, out)
        except callbacks.NonFiniteError as error:
            raise cli.Failure(f"with feedback {form}: {error}") from error
        measured += norms_results.rows(run, form, norms)
    return measured


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line as a namespace."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="digits", help="as in mpl_tf.train [digits]")
    parser.add_argument(
        "--flags", default="", help="comma-separated flag=value for every run, of mpl_tf.train"
    )
    parser.add_argument(
        "--draw",
        default="",
        help="comma-separated folders that this tool wrote: one table and picture of them all, "
        "without any training",
    )
    parser.add_argument(
        "--out", type=output_folder, default="feedback_norms", help="folder [feedback_norms]"
    )
    options = parser.parse_args(argv)
    if options.draw and options.flags:
        parser.error("--flags has no effect beside --draw, which trains nothing")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Trains with every form of feedback and writes what was measured.

    Returns:
      The exit status: 0 done, 1 a loss became NaN or infinite, 2 bad input, 130 stopped by Ctrl-C,
      143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, lambda argv: (parse(argv), argv), run)


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Measures, or draws what was measured; see `main`."""
    out = pathlib.Path(options.out)
    files.check_folder(out, [NORMS, TABLE, PICTURE])
    if options.draw:
        measured = norms_results.read_several(options.draw.split(","))
    else:
        measured = measure_all(options, out)
    out.mkdir(parents=True, exist_ok=True)
    if not options.draw:
        norms_results.write_norms(out / NORMS, measured)
    command = shlex.join(["python", "tools/feedback_norms.py", *argv])
    norms_results.write_table(out / TABLE, measured, command)
    norms_results.draw(out / PICTURE, measured)
    console.say((out / TABLE).read_text(encoding="utf-8"))
    console.say(f"In {out}: {TABLE}, {PICTURE}" + ("" if options.draw else f", {NORMS}"))
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())
