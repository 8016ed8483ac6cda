"""Two replicas compute what one does. Each job has its own process: one MirroredStrategy each."""

import subprocess
import sys

import numpy as np
import pytest

JOB = """
import sys
import keras
import numpy as np
import tensorflow as tf
import mpl_tf

replicas, normalised, feedback, path = int(sys.argv[1]), sys.argv[2] == "bn", *sys.argv[3:]
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.get_strategy()
if replicas == 2:
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def network(seed):
    layers = keras.layers
    initial = [keras.initializers.GlorotUniform(seed=seed + i) for i in range(2)]
    x = inputs = keras.Input([6, 6, 1])
    x = layers.Conv2D(4, 3, kernel_initializer=initial[0])(x)
    if normalised:
        x = layers.BatchNormalization(momentum=0.9, synchronized=True)(x)
    x = layers.Flatten()(layers.LeakyReLU()(x))
    return keras.Model(inputs, layers.Dense(3, kernel_initializer=initial[1])(x))

with strategy.scope():
    teacher, student = network(1), network(5)
    optimizers = [keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True) for _ in range(2)]
model = mpl_tf.MetaPseudoLabels(
    teacher, student, strategy=strategy, feedback=feedback, feedback_weight=5.0,
    uda_ramp_steps=2, uda_threshold=0.3,
)
if feedback == "sampled":  # a draw differs on other replicas: take the most probable class
    model.pseudo_label = lambda logits: tf.one_hot(tf.argmax(logits, -1), 3)
model.compile(*optimizers, weight_decay=1e-3, clip_norm=1.0)
rng = np.random.default_rng(0)
sizes = {"labeled": 4, "weak": 8, "strong": 8}
data = {k: rng.normal(size=(8, n, 6, 6, 1)).astype("float32") for k, n in sizes.items()}
data["label"] = rng.integers(3, size=(8, 4))
model.fit(tf.data.Dataset.from_tensor_slices(data).repeat(), steps_per_epoch=8, verbose=0)
np.savez(path, *[w for n in (teacher, student, model.ema) for w in n.get_weights()])
"""


@pytest.mark.parametrize("feedback", ["exact", "sampled"])
@pytest.mark.parametrize(("normalised", "tolerance"), [("plain", 2e-6), ("bn", 1e-5)])
def test_eight_steps_on_two_replicas_equal_one(feedback, normalised, tolerance, tmp_path):
    """With momentum, L2, clipping, and synchronised batch normalisation."""
    paths = [tmp_path / f"{replicas}.npz" for replicas in (1, 2)]
    for replicas, path in enumerate(paths, 1):
        command = [sys.executable, "-c", JOB, str(replicas), normalised, feedback, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (np.load(path) for path in paths)
    for name in one.files:
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=tolerance)
