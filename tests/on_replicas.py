"""A program for the tests: trains methods on the replicas of a strategy.

    python on_replicas.py REQUEST.json

The request has `strategy`, arguments of devices.make_strategy; `jobs`, by name, each a dict of
`method`, `normalised` (whether networks have batch normalisation), `hyperparameters`, and
`compile`, arguments of compile; `to`, the file for weights and logs after eight steps; and
`optimized_graphs`, whether TensorFlow's usual optimizers of graphs run.
"""

import gc
import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

import mpl_tf
from mpl_tf.engine import devices

STEPS, POOL, K = 8, 12, 3
SIZES = {"labeled": 4, "weak": 8, "strong": 8, "weak_2": 8, "strong_2": 8}


def network(seed, normalised):
    layers = keras.layers
    initial = [keras.initializers.GlorotUniform(seed=seed + i) for i in range(2)]
    x = inputs = keras.Input([6, 6, 1])
    x = layers.Conv2D(4, 3, kernel_initializer=initial[0])(x)
    if normalised:
        x = layers.BatchNormalization(momentum=0.9, synchronized=True)(x)
    x = layers.Flatten()(layers.LeakyReLU()(x))
    return keras.Model(inputs, layers.Dense(K, kernel_initializer=initial[1])(x))


def make_batches():
    """Eight global batches: dict of name -> array."""
    rng = np.random.default_rng(0)
    batches = {k: rng.normal(size=(STEPS, n, 6, 6, 1)) for k, n in SIZES.items()}
    batches = {k: images.astype("float32") for k, images in batches.items()}
    batches["label"] = rng.integers(K, size=(STEPS, SIZES["labeled"]))
    orders = [rng.permutation(POOL)[: SIZES["weak"]] for _ in range(STEPS)]
    return batches | {"index": np.stack(orders)}


def train(job, strategy, data):
    """(weights with all that the method keeps, logs of all steps)."""
    method_class = mpl_tf.METHODS[job["method"]]
    with strategy.scope():
        networks = [
            network(seed, job["normalised"]) for seed in (1, 5)[: len(method_class.optimizers)]
        ]
        sgd = [keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True) for _ in networks]
    model = method_class(*networks, strategy=strategy, **job["hyperparameters"])
    optimizers = dict(zip(method_class.optimizers, sgd, strict=True))
    model.compile(**optimizers, weight_decay=1e-3, clip_norm=1.0, **job["compile"])
    for trainer in model.pretraining_phases().values():
        trainer.fit(devices.distribute(strategy, data), steps_per_epoch=4, verbose=0)
    history = model.fit(devices.distribute(strategy, data), steps_per_epoch=STEPS, verbose=0)
    return model.get_weights(), {name: values[-1] for name, values in history.history.items()}


def main(request):
    if not request["optimized_graphs"]:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    gc.freeze()  # as in conftest.py
    gc.set_threshold(50_000, 20, 10)
    strategy, batches, arrays = devices.make_strategy(**request["strategy"]), make_batches(), {}
    replicas = 1 if request["strategy"]["name"] == "cpu" else 2
    assert strategy.num_replicas_in_sync == replicas

    def data(shard):
        index, count = shard
        rows = {k: np.split(v, count, axis=1)[index] for k, v in batches.items()}
        return tf.data.Dataset.from_tensor_slices(rows).repeat()

    for name, job in request["jobs"].items():
        weights, logs = train(job, strategy, data)
        arrays |= {f"{name}/weights/{i}": weight for i, weight in enumerate(weights)}
        arrays |= {f"{name}/logs/{key}": value for key, value in logs.items()}
    if devices.is_chief(strategy):
        np.savez(request["to"], **arrays)


if __name__ == "__main__":
    main(json.loads(pathlib.Path(sys.argv[1]).read_text()))
