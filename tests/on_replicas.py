"""A program for the tests: trains methods on the replicas of a strategy.

    python on_replicas.py REQUEST.json

The request has `strategy`, arguments of devices.make_strategy; `jobs`, by name, each a dict of
`method`, `normalised` (whether networks have batch normalisation), `hyperparameters`, and
`compile`, arguments of compile; `to`, the file for weights and logs after the last step; and
`optimized_graphs`, whether TensorFlow's usual optimizers of graphs run.

A job may have `network`, the name of one, in place of the program's own, with `arguments` of its
builder, `shape`, that of its images, and `steps`, how many; and `floatx`, Keras's type of numbers.
"""

import gc
import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

import mpl_tf
from mpl_tf import networks
from mpl_tf.engine import devices
from mpl_tf.engine.stored_teacher import StoredTeacherMethod

STEPS, POOL, K = 8, 12, 3
SIZES = {"labeled": 4, "weak": 8, "strong": 8, "weak_2": 8, "strong_2": 8}
SHAPE = (6, 6, 1)


def network(seed, normalised):
    layers = keras.layers
    initial = [keras.initializers.GlorotUniform(seed=seed + i) for i in range(2)]
    x = inputs = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, kernel_initializer=initial[0])(x)
    if normalised:
        x = layers.BatchNormalization(momentum=0.9, synchronized=True)(x)
    x = layers.Flatten()(layers.LeakyReLU()(x))
    return keras.Model(inputs, layers.Dense(K, kernel_initializer=initial[1])(x))


def make_batches(steps=STEPS, shape=SHAPE, of_bytes=False):
    """Global batches: dict of name -> array."""
    rng = np.random.default_rng(0)

    def draw(count):
        size = (steps, count, *shape)
        return rng.uniform(0, 255, size) if of_bytes else rng.normal(size=size)

    batches = {k: draw(n).astype(keras.config.floatx()) for k, n in SIZES.items()}
    batches["label"] = rng.integers(K, size=(steps, SIZES["labeled"]))
    orders = [rng.permutation(POOL)[: SIZES["weak"]] for _ in range(steps)]
    return batches | {"index": np.stack(orders)}


def make_pool():
    """(images, places) of all unlabeled images."""
    images = np.random.default_rng(1).normal(size=(POOL, *SHAPE))
    return images.astype(keras.config.floatx()), np.arange(POOL)


def parts_of(job):
    """(what makes a network of a seed, the batches of a job)."""
    if "network" not in job:
        return lambda seed: network(seed, job["normalised"]), make_batches()
    build, shape = networks.find(job["network"]), tuple(job["shape"])
    batches = make_batches(job["steps"], shape, of_bytes=True)
    same = {"dropout": 0.0, "synchronized": True, **job["arguments"]}  # replicas draw the same mask
    return lambda seed: build(K, shape, seed=seed, **same), batches


def make_optimizer(job):
    if job.get("optimizer") == "lars":
        return mpl_tf.LARS(0.1, nesterov=True, weight_decay=0.1, eta=0.3)
    return keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)


def train(job, strategy):
    """(weights with all that the method keeps, logs of all steps)."""
    keras.config.set_floatx(job.get("floatx", "float32"))
    method_class, steps = mpl_tf.METHODS[job["method"]], job.get("steps", STEPS)
    make_network, batches = parts_of(job)

    def data(shard):
        index, count = shard
        rows = {k: np.split(v, count, axis=1)[index] for k, v in batches.items()}
        return tf.data.Dataset.from_tensor_slices(rows).repeat()

    with strategy.scope():
        made = [make_network(seed) for seed in (1, 5)[: len(method_class.optimizers)]]
        of_networks = [make_optimizer(job) for _ in made]
    model = method_class(*made, strategy=strategy, **job["hyperparameters"])
    optimizers = dict(zip(method_class.optimizers, of_networks, strict=True))
    model.compile(**optimizers, weight_decay=1e-3, clip_norm=1.0, **job["compile"])
    for trainer in model.pretraining_phases().values():
        trainer.fit(devices.distribute(strategy, data), steps_per_epoch=4, verbose=0)
    if isinstance(model, StoredTeacherMethod):
        model.store_predictions([make_pool()])
    history = model.fit(devices.distribute(strategy, data), steps_per_epoch=steps, verbose=0)
    return model.get_weights(), {name: values[-1] for name, values in history.history.items()}


def main(request):
    if not request["optimized_graphs"]:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    gc.freeze()  # as in conftest.py
    gc.set_threshold(50_000, 20, 10)
    strategy, arrays = devices.make_strategy(**request["strategy"]), {}
    replicas = 1 if request["strategy"]["name"] == "cpu" else 2
    assert strategy.num_replicas_in_sync == replicas

    for name, job in request["jobs"].items():
        weights, logs = train(job, strategy)
        arrays |= {f"{name}/weights/{i}": weight for i, weight in enumerate(weights)}
        arrays |= {f"{name}/logs/{key}": value for key, value in logs.items()}
    if devices.is_chief(strategy):
        np.savez(request["to"], **arrays)


if __name__ == "__main__":
    main(json.loads(pathlib.Path(sys.argv[1]).read_text()))
