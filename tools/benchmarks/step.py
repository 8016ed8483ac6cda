"""What does a step of Meta Pseudo Labels cost beyond the passes that it cannot do without?

Timed, interleaved in one run, with the same networks and the same batch: the whole step for every
kind of feedback, and by itself every forward and backward pass that it needs:

    teacher   forward and backward: labeled, weak and strong images in one batch;
              with --separate_views labeled and strong ones, and forward alone the weak ones
    student   forward and backward: strong images
    labeled   forward and backward: labeled images (exact, dot); twice forward alone (sampled)
    credit    that pass of the student differentiated once more: the seconds of all three, less
              those of the first two (exact)

Their sum is what a step is divided by, round by round. It holds nothing else: the losses beyond one
cross entropy a pass, both optimizers, L2, the moving average, pseudo labels and logs count against
the step. What `updates` take by themselves (both optimizers with L2, and the average) is printed
too. Medians and, in parentheses, the middle half of the rounds: of seconds on the clock, and of CPU
seconds, which are those of all threads and which other processes of a busy machine hardly change.
--memory measures peak memory instead, a process for each row.
"""

import argparse
import multiprocessing
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

import made_up_batch
from arguments import at_least
from mpl_tf import config
from mpl_tf.formulas import losses
from mpl_tf.methods.meta_pseudo_labels import MetaPseudoLabels
from mpl_tf.runs import building

NAME = "step"
HELP = "a step of Meta Pseudo Labels against the sum of its necessary passes; its memory"

MODES = ("exact", "dot", "sampled", "none")
# The necessary passes of a mode; a number is how often.
NEEDED = {
    "exact": {"teacher": 1, "student": 1, "labeled": 1, "credit": 1},
    "dot": {"teacher": 1, "student": 1, "labeled": 1},
    "sampled": {"teacher": 1, "student": 1, "labeled forward": 2},
    "none": {"teacher": 1, "student": 1},
}
# Settings whose memory is measured.
MEMORY = (
    {"feedback": "none"},
    {"feedback": "sampled"},
    {"feedback": "exact"},
    {"feedback": "exact", "recompute": True},
    {"feedback": "exact", "accumulate_steps": 4},
)


def define(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's arguments to an argparse parser."""
    several = {"nargs": "+", "metavar": "NAME"}
    parser.add_argument("--network", default="wide_resnet_28_2", help="[%(default)s]")
    parser.add_argument("--image_size", type=at_least(1), default=32, help="pixels [32]")
    parser.add_argument("--labeled", type=at_least(1), default=16, help="labeled images [16]")
    parser.add_argument("--ratio", type=at_least(1), default=7, help="unlabeled a labeled [7]")
    parser.add_argument("--modes", choices=MODES, default=MODES, help="feedback [all]", **several)
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default=["float32"], **several
    )
    parser.add_argument("--compiler", choices=("graph", "xla"), default=["graph"], **several)
    parser.add_argument(
        "--separate_views",
        action="store_true",
        help="the teacher's weak view is a batch of its own (joint_views=False)",
    )
    parser.add_argument("--rounds", type=at_least(2), default=11, help="timed rounds [11]")
    parser.add_argument(
        "--memory", action=argparse.BooleanOptionalAction, help="peak memory, nothing else"
    )


def build(
    arguments: argparse.Namespace, **settings: Any
) -> tuple[MetaPseudoLabels, dict[str, tf.Tensor]]:
    """A compiled method and a batch, as a run on CIFAR-10 has them.

    Args:
      arguments: argparse.Namespace of this benchmark.
      **settings: options of a run.

    Returns:
      (methods.MetaPseudoLabels, dict of tensors).
    """
    made = config.make(
        {
            "dataset": "cifar10",
            "network": arguments.network,
            "labeled_batch": arguments.labeled,
            "unlabeled_ratio": arguments.ratio,
            "joint_views": not arguments.separate_views,
            **settings,
        }
    )
    shape = (arguments.image_size, arguments.image_size, 3)
    method, _ = building.build_method(made, 10, shape, arguments.labeled * arguments.ratio)
    batch = made_up_batch.make(method, made.run, 10, shape)
    return method, {name: tf.constant(value) for name, value in batch.items()}


def passes(
    method: MetaPseudoLabels, batch: dict[str, tf.Tensor], separate: bool
) -> dict[str, Callable[[], Any]]:
    """The necessary passes by themselves.

    Args:
      method: of `build`.
      batch: dict of tensors.
      separate: whether the weak view is a batch of its own.

    Returns:
      dict of name -> function without arguments, to be made a tf.function.
    """
    first = ("labeled", "strong") if separate else ("labeled", "weak", "strong")
    joint = tf.concat([batch[view] for view in first], 0)
    teacher, student = method.teacher, method.student
    strong, labeled = batch["strong"], batch["labeled"]

    def forward(network, images, q=None):
        logits = tf.cast(network(images, training=True), tf.float32)
        q = tf.ones_like(logits) / logits.shape[-1] if q is None else q
        return tf.reduce_mean(losses.cross_entropy(q, logits))

    def both(network, images, q=None):
        with tf.GradientTape() as tape:
            loss = forward(network, images, q)
        return loss, tape.gradient(loss, network.trainable_variables)

    def thrice():
        q = tf.fill([strong.shape[0], student.output_shape[-1]], 0.1)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(q)
            loss, gradient = both(student, strong, q)
        along = [tf.convert_to_tensor(v) for v in student.trainable_variables]
        return loss, gradient, tape.gradient(gradient, q, output_gradients=along)

    functions = {
        "teacher": lambda: both(teacher, joint),
        "student": lambda: both(student, strong),
        "labeled": lambda: both(student, labeled),
        "labeled forward": lambda: forward(student, labeled),
        "student, credit": thrice,
        "updates": lambda: updates(method),
    }
    if separate:
        functions["weak forward"] = lambda: forward(teacher, batch["weak"])
    return functions


def updates(method: MetaPseudoLabels) -> tf.Tensor:
    """Both optimizers with gradients of 0, and the moving average."""
    for network, optimizer in (
        (method.student, method.student_optimizer),
        (method.teacher, method.teacher_optimizer),
    ):
        variables = network.trainable_variables
        method.update(optimizer, [tf.zeros_like(v) for v in variables], variables)
    method.update_ema()
    return method.step.value


def times(functions: Mapping[Any, Callable[[], Any]], rounds: int) -> dict[Any, np.ndarray]:
    """Seconds of every round of every function, interleaved.

    Args:
      functions: dict of key -> function without arguments that gives tensors.
      rounds: after two that are not timed.

    Returns:
      dict of key -> array [2, rounds]: on the clock, and of the process's CPU time.
    """
    seconds = {key: [] for key in functions}
    for round_ in range(-2, rounds):  # before 0: tracing, compiling and warming up
        for key, function in functions.items():
            start = time.perf_counter(), time.process_time()
            tf.nest.flatten(function())[0].numpy()  # waits
            end = time.perf_counter(), time.process_time()
            if round_ >= 0:
                seconds[key].append(np.subtract(end, start))
    return {key: np.transpose(measured) for key, measured in seconds.items()}


def with_credit(seconds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The seconds of passes, and of what is a difference of two: dict of name -> array."""
    return seconds | {"credit": seconds["student, credit"] - seconds["student"]}


def needed(mode: str, seconds: Mapping[str, np.ndarray]) -> np.ndarray:
    """Seconds of the necessary passes of a mode in each round, an array."""
    weak = {"weak forward": 1} if "weak forward" in seconds else {}
    return sum(count * seconds[name] for name, count in (NEEDED[mode] | weak).items())


def row(name: str, seconds: np.ndarray, sums: np.ndarray | None = None) -> list[str]:
    """Markdown cells: name, seconds, and step / sum, each on the clock and of the CPU."""
    cells = [name, *(middle_half(measured) for measured in seconds), "", ""]
    if sums is not None:
        cells[3:] = (middle_half(ratio) for ratio in seconds / sums)
    return cells


def middle_half(values: Iterable[float]) -> str:
    """Median and quartiles as text."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3f} ({low:.3f}-{high:.3f})"


def run(arguments: argparse.Namespace) -> int:
    """Prints a Markdown table; returns the exit status."""
    return _run_memory(arguments) if arguments.memory else _run_times(arguments)


def _run_times(arguments):
    functions = {}
    for precision in arguments.precision:
        for compiler in arguments.compiler:
            jit = compiler == "xla" or None
            for mode in arguments.modes:
                method, batch = build(arguments, feedback=mode, precision=precision)
                step = tf.function(method.train_step, jit_compile=jit, autograph=False)
                functions[precision, compiler, f"step, {mode}"] = _step(step, method, batch)
            for name, function in passes(method, batch, arguments.separate_views).items():
                if name == "labeled forward" and "sampled" not in arguments.modes:
                    continue
                compiled = tf.function(function, jit_compile=jit, autograph=False)
                functions[precision, compiler, name] = compiled
    seconds = times(functions, arguments.rounds)
    print(f"Medians of {arguments.rounds} interleaved rounds, seconds\n")
    print("| precision | compiler | | clock | CPU | step / sum, clock | step / sum, CPU |")
    print("|---|---|---|---|---|---|---|")
    for precision in arguments.precision:
        for compiler in arguments.compiler:
            setting = (precision, compiler)
            by_name = with_credit({k[2]: s for k, s in seconds.items() if k[:2] == setting})
            for name, measured in by_name.items():
                mode = name.removeprefix("step, ")
                sums = needed(mode, by_name) if mode != name else None
                cells = [precision, compiler, *row(name, measured, sums)]
                print("|", " | ".join(cells), "|", flush=True)
    return 0


def _step(step, method, batch):
    def take():
        step(batch)
        return method.step.value  # read after the step

    return take


def _run_memory(arguments):
    print("Peak resident memory of a process, MiB: after three steps, and before the first\n")
    print("| precision | | peak | before | added by steps |")
    print("|---|---|---|---|---|")
    context = multiprocessing.get_context("spawn")  # a fresh process has used nothing yet
    for precision in arguments.precision:
        for settings in MEMORY:
            if settings["feedback"] not in arguments.modes:
                continue
            with context.Pool(1) as pool:
                before, peak = pool.apply(_peak, (arguments, {"precision": precision, **settings}))
            title = ", ".join(f"{name}={value}" for name, value in settings.items())
            print(f"| {precision} | {title} | {peak:.0f} | {before:.0f} | {peak - before:.0f} |")
            sys.stdout.flush()
    return 0


def _peak(arguments, settings):
    """(before, after three steps): the most MiB that this process has held so far."""
    vars(arguments).pop("run", None)
    method, batch = build(arguments, **settings)
    step = tf.function(method.train_step, autograph=False)
    before = _most_resident()
    for _ in range(3):
        step(batch)
    return before, _most_resident()


def _most_resident():
    if sys.platform == "linux":  # where the number below starts with the parent's
        lines = pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        (line,) = (line for line in lines if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
