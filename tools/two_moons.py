"""Two moons: what feedback, labels and consistency each do, on 2,000 points with 6 labels.

    python tools/two_moons.py --seeds=20 --out=two_moons

Pham et al. 2021 (section 3.1, figure 2) show supervised learning and Pseudo Labels failing on such
points where Meta Pseudo Labels succeeds. Here the library's own methods are trained on them, a row
a method, with the ingredients of a Meta Pseudo Labels teacher switched on and off. `--out` then
holds `table.md`, `table.csv` (a line a method and seed) and `two_moons.png`.

Settings. Both networks are 2-8-8-2 with tanh, weights and biases from U(-0.5, 0.5), trained by SGD
with rate 0.1 and momentum 0.9, without smoothing, weight decay, moving average or finetuning: what
is measured is the student as its last step left it, on all 2,000 points of its seed, and a seed
succeeds with 97% of them right. A batch is all 6 labels and 128 unlabeled points, of which `strong`
is x + sigma * noise and `weak` is x itself. So the consistency target is softmax(T(x)), and the
student is taught softmax(T(x + sigma * noise)) on x + sigma * noise. (With the two views exchanged
no row succeeds at all, measured at noise 0.1 on 20 seeds.) Every method gets these batches.
Feedback, where it is on, is `exact` with weight 3.

All seeds are trained at once: a network maps [N, S, 2] to [N, S, 2] with weights of its own for
each of S seeds. The methods' losses average over N and S, which is 1/S of what a seed alone would
have; so is their exact feedback, which has two gradients with a factor of 1/S each, and one step
with a factor of S. With S times the learning rate every seed therefore trains as it would alone.
"""

import argparse
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from mpl_tf import cli, console, files

if __name__ == "__main__":
    console.start(sys.argv)  # first, because it imports TensorFlow without its messages

import keras
import numpy as np
import tensorflow as tf
from sklearn import datasets

import moons_results
import mpl_tf
from arguments import at_least, output_folder
from moons_results import Moons
from mpl_tf.engine.method import Method
from mpl_tf.runs import progress

COMMAND = cli.Command("python tools/two_moons.py", __doc__)
POINTS, LABELS, BATCH, WIDTH = 2000, 3, 128, 8  # LABELS: of each class
RATE, MOMENTUM = 0.1, 0.9


Row = tuple[str, dict[str, Any]]  # name in mpl_tf.METHODS, hyperparameters


def mpl(feedback: str, supervised_weight: float, uda_weight: float) -> Row:
    """Meta Pseudo Labels with a teacher that learns from these."""
    return "mpl", {
        "feedback": feedback,
        "feedback_weight": 3.0,
        "supervised_weight": supervised_weight,
        "uda_weight": uda_weight,
        "uda_temperature": 1.0,
        "uda_threshold": 0.0,
        "uda_ramp_steps": 0,
    }


# Row of the table -> name in mpl_tf.METHODS, hyperparameters.
ROWS = {
    "Supervised": ("supervised", {}),
    "Pseudo Labels (fixed supervised teacher)": ("pseudo_label", {}),
    "MPL: exact feedback + CE, no consistency": mpl("exact", 1.0, 0.0),
    "Consistency alone, no labels": mpl("none", 0.0, 1.0),
    "Consistency + feedback, no CE on the labels": mpl("exact", 0.0, 1.0),
    "UDA (CE + consistency), distilled student": mpl("none", 1.0, 1.0),
    "UDA + feedback": mpl("exact", 1.0, 1.0),
}


def moons(seed: int, noise: float) -> Moons:
    """One seed's data set, `noise` being the standard deviation around the two half circles.

    Returns:
      (points, label, index): float32 [2000, 2] with mean 0 and variance 1, int32 [2000], and the
      int64 [6] positions of the labeled points, class by class.
    """
    points, label = datasets.make_moons(POINTS, noise=noise, random_state=seed)
    points = (points - points.mean(0)) / points.std(0)
    rng = np.random.default_rng(seed)
    index = [rng.choice(np.flatnonzero(label == k), LABELS, replace=False) for k in range(2)]
    return points.astype(np.float32), label.astype(np.int32), np.concatenate(index)


def stacked(seeds: int, noise: float) -> Moons:
    """(points [2000, S, 2], label [2000, S], index [6, S]) of the data sets of seeds 0 to S - 1."""
    sets = [moons(seed, noise) for seed in range(seeds)]
    return tuple(np.stack(part, axis=1) for part in zip(*sets, strict=True))


def batches(data: Moons, sigma: float) -> tf.data.Dataset:
    """Endless batches, each a function of its number alone.

    Args:
      data: as returned by `stacked`.
      sigma: standard deviation of the noise between the views.

    Returns:
      tf.data.Dataset of dicts: `labeled` float32 [6, S, 2], `label` int32 [6, S], and `weak` and
      `strong` float32 [128, S, 2].
    """
    points, label, index = data
    labeled = {
        "labeled": np.take_along_axis(points, index[..., None], axis=0),
        "label": np.take_along_axis(label, index, axis=0),
    }
    by_seed = tf.constant(points.swapaxes(0, 1))  # [S, 2000, 2]

    def draw(step):
        shape = [points.shape[1], BATCH]
        chosen = tf.random.stateless_uniform(shape, [0, step], 0, POINTS, tf.int32)
        weak = tf.gather(by_seed, chosen, batch_dims=1)
        strong = weak + sigma * tf.random.stateless_normal([*shape, 2], [1, step])
        views = {"weak": weak, "strong": strong}
        return labeled | {name: tf.transpose(view, [1, 0, 2]) for name, view in views.items()}

    return tf.data.Dataset.counter().map(draw, num_parallel_calls=2).prefetch(16)


def network(seeds: int, role: int) -> keras.Model:
    """2-8-8-2 with tanh, once for each seed.

    Args:
      seeds: the number S of networks side by side.
      role: 0 for students and 1 for teachers: their weights differ.

    Returns:
      keras.Model, float32 [N, S, 2] -> logits [N, S, 2].
    """
    x = inputs = keras.Input([seeds, 2])
    for units, activation in ((WIDTH, "tanh"), (WIDTH, "tanh"), (2, None)):
        shape = {"output_shape": [seeds, units], "bias_axes": "so"}
        x = keras.layers.EinsumDense("nsi,sio->nso", activation=activation, **shape)(x)
    model = keras.Model(inputs, x)
    each = [np.random.default_rng([seed, role]) for seed in range(seeds)]
    shapes = [w.shape[1:] for w in model.weights]
    model.set_weights([np.stack([r.uniform(-0.5, 0.5, shape) for r in each]) for shape in shapes])
    return model


def build(name: str, hyperparameters: dict[str, Any], seeds: int) -> Method:
    """A compiled method of the library for a number of seeds; `name` is that in METHODS."""
    networks = [network(seeds, role=0)]
    if name != "supervised":
        networks.insert(0, network(seeds, role=1))
    # With ema_decay=0 the moving average, which methods predict with, is the student itself.
    method = mpl_tf.METHODS[name](*networks, label_smoothing=0.0, ema_decay=0.0, **hyperparameters)
    optimizers = [keras.optimizers.SGD(seeds * RATE, momentum=MOMENTUM) for _ in networks]
    # XLA: these steps are hundreds of tiny operations, and starting each takes longest.
    named = dict(zip(method.optimizers, optimizers, strict=True))
    method.compile(**named, jit_compile=True)
    return method


def fit(method: Method, data: Moons, sigma: float, steps: int) -> None:
    """Trains a method for `steps` steps, before that its teacher if that is a phase of its own."""

    def bar(phase):
        forecast = progress.Forecast(phase, steps)
        shown = [forecast, progress.Progress(forecast)]
        return {"verbose": console.bar_mode(), "callbacks": shown}

    if method.pretraining_phases():
        method.pretrain(batches(data, sigma), steps=steps, **bar("teacher"))
    method.fit(batches(data, sigma), steps_per_epoch=steps, **bar("train"))


def correct(method: Method, data: Moons) -> np.ndarray:
    """Share of the 2,000 points that each seed's student gets right, float64 [S]."""
    points, label, _ = data
    return np.mean(np.argmax(method(points), axis=-1) == label, axis=0)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line as a namespace."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=at_least(1), default=20, help="seeds 0, 1, ... [20]")
    parser.add_argument("--noise", type=at_least(0, float), default=0.1, help="of the moons [0.1]")
    sigma = "noise between the views [0.2 for --noise up to 0.05, else 0.15]"
    parser.add_argument("--sigma", type=at_least(0, float), help=sigma)
    parser.add_argument("--steps", type=at_least(1), default=10000, help="of a method [10000]")
    parser.add_argument(
        "--out", type=output_folder, default="two_moons", help="folder of the results [two_moons]"
    )
    options = parser.parse_args(argv)
    if options.sigma is None:
        options.sigma = 0.2 if options.noise <= 0.05 else 0.15
    try:
        pathlib.Path(options.out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out cannot be made a folder: {error}")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Trains every method and writes the results.

    Returns:
      The exit status: 0 done, 2 bad input, 130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, lambda argv: (parse(argv), argv), run)


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Trains every method that is parsed; see `main`."""
    out = pathlib.Path(options.out)
    files.check_folder(out, ["table.md", "table.csv", "two_moons.png"])
    data = stacked(options.seeds, options.noise)
    methods, accuracies = {}, {}
    for count, (name, row) in enumerate(ROWS.items(), 1):
        console.say(f"[{count}/{len(ROWS)}] {name}")
        methods[name] = build(*row, options.seeds)
        fit(methods[name], data, options.sigma, options.steps)
        accuracies[name] = correct(methods[name], data)
        console.say(f"mean accuracy {np.mean(accuracies[name]):.3f}\n")
    command = shlex.join(["python", "tools/two_moons.py", *argv])
    moons_results.write_markdown(out / "table.md", options, accuracies, command)
    moons_results.write_csv(out / "table.csv", accuracies)
    moons_results.draw(out / "two_moons.png", data, methods, accuracies)
    console.say((out / "table.md").read_text(encoding="utf-8"))
    console.say(f"In {out}: table.md, table.csv, two_moons.png")
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())
