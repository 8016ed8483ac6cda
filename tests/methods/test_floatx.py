"""Methods under another floatx of Keras than float32."""

import keras
import numpy as np
import pytest

import mpl_tf
from mpl_tf import data
from mpl_tf.options import ConfigError


@pytest.fixture
def floatx():
    """floatx(name): what Keras makes weights of until the test ends."""

    def change(name):
        keras.config.set_floatx(name)
        keras.config.set_dtype_policy(name)  # which a process that set it once has apart

    yield change
    change("float32")


def network(seed):
    return mpl_tf.NETWORKS["mlp"](3, (4, 4, 1), seed=seed)


@pytest.mark.parametrize("name", ["noisy_student", "remixmatch", "enaet", "freematch", "mpl"])
def test_methods_with_state_learn_in_float64(floatx, name):
    floatx("float64")
    method = mpl_tf.METHODS[name]
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 1), np.uint8)
    batches = data.pair(
        (images, np.arange(30) % 3), method=method, labeled_batch=3, weak=None, strong=None
    )
    model = method(*(network(seed) for seed in range(len(method.optimizers))))
    model.compile(**dict.fromkeys(method.optimizers, "sgd"))
    if model.pretraining_phases():
        model.pretrain(batches, steps=1, verbose=0)
    history = model.fit(batches, steps_per_epoch=2, verbose=0).history
    assert np.isfinite(history["student_loss"][0])
    assert {weight.dtype for weight in model.student.trainable_variables} == {"float64"}


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_weights_of_16_bits_are_refused_in_words(floatx, name):
    floatx(name)
    with pytest.raises(ConfigError, match=f"kernel is {name}. .*set_dtype_policy.'mixed_{name}'"):
        mpl_tf.FixMatch(network(0))
