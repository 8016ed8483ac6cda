"""Three ways to compute the exact feedback's credit, and what each costs.

The credit is d L_l(theta_S') / d q for soft pseudo labels q [U, K]; here on the digits network.
Printed is what each way adds to the student's own step, and how far it is from the same computed in
float64. Rounds are interleaved; medians and the middle half are printed.
"""

import argparse
import statistics
import time

import keras
import numpy as np
import tensorflow as tf

import mpl_tf
from arguments import at_least
from mpl_tf.formulas import losses

Tensors = list[tf.Tensor]
Batch = dict[str, tf.Tensor]

NAME = "credit"
HELP = "three ways to compute the exact feedback's credit: time and error"


def define(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's arguments to an argparse parser."""
    parser.add_argument("--labeled", type=at_least(1), default=32, help="labeled images [32]")
    parser.add_argument("--unlabeled", type=at_least(1), default=224, help="unlabeled images [224]")
    parser.add_argument("--rounds", type=at_least(2), default=25, help="timed rounds [25]")


def forward(network: keras.Model, weights: Tensors, state: Tensors, images: tf.Tensor) -> tf.Tensor:
    """Log probabilities of a network in training mode, its state untouched."""
    logits, _ = network.stateless_call(weights, state, images, training=True)
    return tf.nn.log_softmax(logits)


def lesson(
    network: keras.Model, weights: Tensors, state: Tensors, images: tf.Tensor, q: tf.Tensor
) -> Tensors:
    """Gradient of the lesson's loss, mean_i CE(q_i, S(x_i)), with respect to the weights."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        logits, _ = network.stateless_call(weights, state, images, training=True)
        loss = tf.reduce_mean(losses.cross_entropy(q, logits))
    return tape.gradient(loss, weights)


def labeled_gradient(
    network: keras.Model, weights: Tensors, state: Tensors, images: tf.Tensor, label: tf.Tensor
) -> Tensors:
    """Gradient of the labeled loss."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        log_probs = forward(network, weights, state, images)
        loss = -tf.reduce_mean(tf.gather(log_probs, label, batch_dims=1))
    return tape.gradient(loss, weights)


def moved(weights: Tensors, gradient: Tensors, step: float) -> Tensors:
    return [w - step * g for w, g in zip(weights, gradient, strict=True)]


def step_alone(
    network: keras.Model, weights: Tensors, state: Tensors, batch: Batch, step: float
) -> Tensors:
    """No credit: the student's step."""
    return moved(weights, lesson(network, weights, state, batch["strong"], batch["q"]), step)


def step_and_labeled(
    network: keras.Model, weights: Tensors, state: Tensors, batch: Batch, step: float
) -> Tensors:
    """No credit: the student's step and the labeled gradient after it."""
    after = step_alone(network, weights, state, batch, step)
    return labeled_gradient(network, after, state, batch["labeled"], batch["label"])


def nested_tapes(
    network: keras.Model, weights: Tensors, state: Tensors, batch: Batch, step: float
) -> tf.Tensor:
    """The lesson's gradient differentiated once more, with respect to q along v."""
    with tf.GradientTape() as outer:
        outer.watch(batch["q"])
        gradient = lesson(network, weights, state, batch["strong"], batch["q"])
    after = moved(weights, gradient, step)
    v = labeled_gradient(network, after, state, batch["labeled"], batch["label"])
    return -step * outer.gradient(gradient, batch["q"], output_gradients=v)


def double_backward(
    network: keras.Model, weights: Tensors, state: Tensors, batch: Batch, step: float
) -> tf.Tensor:
    """J v as the derivative of u -> J^T u along v, J the Jacobian of the log probabilities."""
    v = step_and_labeled(network, weights, state, batch, step)
    u = tf.zeros_like(batch["q"])
    with tf.GradientTape() as outer:
        outer.watch(u)
        with tf.GradientTape() as inner:
            inner.watch(weights)
            log_probs = forward(network, weights, state, batch["strong"])
        transposed = inner.gradient(log_probs, weights, output_gradients=u)
    return step / batch["q"].shape[0] * outer.gradient(transposed, u, output_gradients=v)


def finite_difference(
    network: keras.Model, weights: Tensors, state: Tensors, batch: Batch, step: float
) -> tf.Tensor:
    """Two more forward passes, at theta +- eps * v; wider and narrower steps were less exact."""
    v = step_and_labeled(network, weights, state, batch, step)
    eps = 1e-4 / tf.linalg.global_norm(v)
    sides = [
        forward(network, moved(weights, v, sign * eps), state, batch["strong"]) for sign in (-1, 1)
    ]
    return step / batch["q"].shape[0] * (sides[0] - sides[1]) / (2 * eps)


TECHNIQUES = (step_alone, step_and_labeled, nested_tapes, double_backward, finite_difference)


def problem(
    dtype: str, labeled: int, unlabeled: int
) -> tuple[keras.Model, Tensors, Tensors, Batch]:
    """(network, weights, state, batch): the same numbers in either precision."""
    network = mpl_tf.NETWORKS["small"](10, (8, 8, 1), seed=1, dropout=0.0)
    values = network.get_weights()
    keras.config.set_dtype_policy(dtype)
    network = mpl_tf.NETWORKS["small"](10, (8, 8, 1), seed=1, dropout=0.0)
    keras.config.set_dtype_policy("float32")
    network.set_weights(values)
    rng = np.random.default_rng(0)
    train = mpl_tf.DATASETS["digits"].load().train
    images = train.images.astype(dtype)
    batch = {
        "labeled": tf.constant(images[:labeled]),
        "label": tf.constant(train.labels[:labeled]),
        "strong": tf.constant(images[-unlabeled:]),
        "q": tf.nn.softmax(tf.constant(rng.normal(size=(unlabeled, 10)).astype(dtype))),
    }
    weights, state = (
        [tf.convert_to_tensor(v) for v in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables)
    )
    return network, weights, state, batch


def run(options: argparse.Namespace) -> int:
    """Prints times and errors of the ways to compute the credit; returns the exit status."""
    network, *arguments = problem("float32", options.labeled, options.unlabeled)
    reference_network, *exact_arguments = problem("float64", options.labeled, options.unlabeled)
    reference = nested_tapes(reference_network, *exact_arguments, 0.1)
    compiled = {
        f: tf.function(lambda *a, f=f: f(network, *a, 0.1), autograph=False) for f in TECHNIQUES
    }
    times = {f: [] for f in TECHNIQUES}
    for round_ in range(options.rounds + 3):
        for f, run in compiled.items():
            start_time = time.perf_counter()
            out = run(*arguments)
            tf.nest.map_structure(lambda t: t.numpy(), out)
            if round_ >= 3:  # tracing and warming up before
                times[f].append(time.perf_counter() - start_time)
    base = statistics.median(times[step_alone])
    print(f"{'':20}{'ms':>8}{'middle half':>16}{'ratio':>8}{'error':>10}")
    for f in TECHNIQUES:
        low, middle, high = statistics.quantiles(times[f], n=4)
        row = f"{f.__name__:20}{1e3 * middle:8.1f}{1e3 * low:8.1f}-{1e3 * high:<7.1f}"
        row += f"{middle / base:8.2f}"
        if f not in (step_alone, step_and_labeled):
            value = tf.cast(compiled[f](*arguments), tf.float64)
            row += f"{float(tf.norm(value - reference) / tf.norm(reference)):10.1e}"
        print(row)
    return 0
