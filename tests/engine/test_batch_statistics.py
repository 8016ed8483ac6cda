"""Moving statistics of batch normalisation: where they start, and those of averaged weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine.batch_statistics import PassCounts, normalisations
from mpl_tf.engine.forward import Forward
from mpl_tf.engine.label_training import LabelTraining

MOMENTUM = 0.9  # of the fixture `convolutional`
B, K = 4, 3
WAYS = {"whole": {}, "twice": {"recompute": True}, "parts": {"accumulate_steps": 2}}


@pytest.fixture
def batches(rng):
    return rng.normal(1.0, 2.0, size=(12, B, 6, 6, 1))


@pytest.fixture
def data(batches, rng):
    labels = rng.integers(K, size=(len(batches), B))
    return tf.data.Dataset.from_tensor_slices({"labeled": batches, "label": labels}).repeat()


def counted(network):
    """Counts of passes for one network."""
    counts = PassCounts()
    counts.add(network, keras.Variable(0, dtype="int64", trainable=False))
    return counts


def moving(network):
    """[mean, variance] of its only batch normalisation."""
    (layer,) = normalisations(network)
    return np.stack([layer.moving_mean.numpy(), layer.moving_variance.numpy()])


def of_batch(network, images):
    """[mean, variance] of what enters that layer, without its moving statistics."""
    inside = network.layers[1](images).numpy()  # the convolution
    return np.stack([inside.mean((0, 1, 2)), inside.var((0, 1, 2))])


@pytest.mark.parametrize("way", WAYS)
def test_statistics_of_the_first_passes_are_their_plain_mean(convolutional, batches, way):
    network = convolutional(0)
    forward = Forward(**WAYS[way], passes=counted(network))
    parts = forward.accumulate_steps
    expected = []
    for count, images in enumerate(batches[: 10 // parts], 1):
        forward(network, tf.constant(images))
        expected += [of_batch(network, part) for part in np.split(images, parts)]
        np.testing.assert_allclose(moving(network), np.mean(expected, 0), rtol=1e-12)
        assert int(forward.passes.of(network)) == count * parts


@keras.saving.register_keras_serializable("tests")
class Block(keras.layers.Layer):
    """A layer of layers, as users write them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.BatchNormalization()

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x, training=None):
        return self.inner(x, training=training)


@pytest.mark.parametrize(
    "wrap", [Block, lambda: keras.layers.TimeDistributed(keras.layers.BatchNormalization())]
)
def test_statistics_inside_of_other_layers_are_means_too(batches, rng, wrap):
    inputs = keras.Input((6, 6, 1))
    method = mpl_tf.Supervised(
        keras.Model(inputs, keras.layers.Dense(K)(keras.layers.Flatten()(wrap()(inputs))))
    )
    method.compile(keras.optimizers.SGD(0.0))
    labels = rng.integers(K, size=(len(batches), B))
    data = tf.data.Dataset.from_tensor_slices({"labeled": batches, "label": labels}).repeat()
    method.fit(data, steps_per_epoch=5, verbose=0)
    expected = np.mean(batches[:5].mean((1, 2, 3, 4)) if wrap is Block else 0)
    for network in (method.student, method.ema):
        (layer,) = normalisations(network)
        if wrap is Block:
            np.testing.assert_allclose(layer.moving_mean.numpy(), [expected], rtol=1e-5)
        assert abs(float(layer.moving_variance[0]) - 4) < 0.5  # not 1, where it starts


def test_later_passes_have_the_momentum_of_the_layer(convolutional, batches):
    network = convolutional(0)
    forward = Forward(passes=counted(network))
    for images in batches[:10]:
        forward(network, tf.constant(images))
    before = moving(network)
    forward(network, tf.constant(batches[10]))
    expected = MOMENTUM * before + (1 - MOMENTUM) * of_batch(network, batches[10])
    np.testing.assert_allclose(moving(network), expected, rtol=1e-12)
    assert normalisations(network)[0].momentum == MOMENTUM


def test_a_pass_that_keeps_the_state_is_not_counted(convolutional, batches):
    network = convolutional(0)
    forward = Forward(passes=counted(network))
    forward(network, tf.constant(batches[0]), keep_state=True)
    assert int(forward.passes.of(network)) == 0
    np.testing.assert_array_equal(moving(network), [[0] * 4, [1] * 4])


def test_passes_of_a_network_that_nobody_counts_are_keras_own(convolutional, batches):
    network = convolutional(0)
    Forward(passes=counted(convolutional(1)))(network, tf.constant(batches[0]))
    expected = MOMENTUM * np.array([[0] * 4, [1] * 4])
    expected = expected + (1 - MOMENTUM) * of_batch(network, batches[0])
    np.testing.assert_allclose(moving(network), expected, rtol=1e-12)


def test_passes_through_a_model_around_the_network_count(convolutional, batches):
    network = convolutional(0)
    around = keras.Model(network.inputs, keras.layers.Dense(2, dtype="float64")(network.output))
    nested = keras.Sequential([keras.Input([6, 6, 1], dtype="float64"), network])
    forward = Forward(passes=counted(network))
    for model, images in ((network, 0), (around, 1), (nested, 2)):
        forward(model, tf.constant(batches[images]))
    assert int(forward.passes.of(network)) == 3
    expected = np.mean([of_batch(network, images) for images in batches[:3]], 0)
    np.testing.assert_allclose(moving(network), expected, rtol=1e-12)


def supervised(convolutional, **compile_arguments):
    method = mpl_tf.Supervised(convolutional(3), ema_decay=0.9)
    method.compile(keras.optimizers.SGD(0.5), **compile_arguments)
    return method


def state(method):
    variables = [*method.variables, *(v for metric in method.metrics for v in metric.variables)]
    return {id(v): v.numpy() for v in variables}


@pytest.mark.parametrize("way", [*WAYS, "eager"])
def test_statistics_of_averaged_weights_are_means_of_their_own(convolutional, data, batches, way):
    parts = WAYS.get(way, {"run_eagerly": True})
    method = supervised(convolutional, **parts)
    method.fit(data, steps_per_epoch=6, verbose=0, renew_statistics=False)
    before, averaged = state(method), moving(method.ema)
    method.renew_statistics(data, steps=4)
    cut = parts.get("accumulate_steps", 1)
    expected = [
        of_batch(method.ema, part) for images in batches[:4] for part in np.split(images, cut)
    ]
    np.testing.assert_allclose(moving(method.ema), np.mean(expected, 0), rtol=1e-12)
    assert not np.allclose(averaged, moving(method.ema), rtol=0.01)
    changed = {
        key for key, value in state(method).items() if not np.array_equal(value, before[key])
    }
    assert changed == {id(v) for v in normalisations(method.ema)[0].non_trainable_variables}


def test_fit_renews_them_at_its_end(convolutional, data):
    method, by_hand = (supervised(convolutional) for _ in range(2))
    method.fit(data, steps_per_epoch=3, epochs=2, verbose=0)
    by_hand.fit(data, steps_per_epoch=6, verbose=0, renew_statistics=False)
    assert not np.array_equal(moving(method.ema), moving(by_hand.ema))
    by_hand.renew_statistics(data, steps=6)
    np.testing.assert_array_equal(moving(method.ema), moving(by_hand.ema))


def test_passes_are_traced_once_until_the_method_is_compiled_anew(convolutional, data, batches):
    method = supervised(convolutional)
    for _ in range(2):
        method.fit(data, steps_per_epoch=2, verbose=0)
    assert method.passes_function.experimental_get_tracing_count() == 1
    method.compile(keras.optimizers.SGD(0.5), accumulate_steps=2)
    method.renew_statistics(data, steps=1)
    parts = [of_batch(method.ema, part) for part in np.split(batches[0], 2)]
    np.testing.assert_allclose(moving(method.ema), np.mean(parts, 0), rtol=1e-12)


def test_a_finetuned_network_goes_on_from_the_statistics_it_starts_with(
    convolutional, data, batches
):
    method = supervised(convolutional)
    method.fit(data, steps_per_epoch=6, verbose=0)
    start = moving(method.ema)
    method.finetune(data, steps=1, optimizer=keras.optimizers.SGD(0.0), verbose=0)
    expected = MOMENTUM * start + (1 - MOMENTUM) * of_batch(method.ema, batches[0])
    np.testing.assert_allclose(moving(method.finetuned), expected, rtol=1e-12)


def test_a_network_that_learns_labels_alone_starts_anew(convolutional, data, batches):
    network = convolutional(0)
    training = LabelTraining(network, "teacher")
    training.compile(keras.optimizers.SGD(0.0))
    training.fit(data, steps_per_epoch=4, verbose=0)
    expected = np.mean([of_batch(network, images) for images in batches[:4]], 0)
    np.testing.assert_allclose(moving(network), expected, rtol=1e-12)


@pytest.mark.parametrize("name", mpl_tf.METHODS)
def test_every_method_can_renew_them(convolutional, random_batch, name):
    method_class = mpl_tf.METHODS[name]
    networks = [convolutional(seed) for seed in range(len(method_class.optimizers))]
    pool = {"num_unlabeled": 6} if method_class.needs_num_unlabeled() else {}
    method = method_class(*networks, **pool)
    method.compile(**dict.fromkeys(method_class.optimizers, "sgd"), run_eagerly=True)
    batch = random_batch((6, 6, 1))
    batch |= dict.fromkeys(method_class.unlabeled_views, batch["strong"])
    batch["index"] = np.arange(6)
    before = state(method)
    method.renew_statistics(tf.data.Dataset.from_tensors(batch), steps=1)
    changed = {
        key for key, value in state(method).items() if not np.array_equal(value, before[key])
    }
    norms = normalisations(method.ema)  # of a frozen encoder none moves
    assert changed == {id(v) for norm in norms[:1] for v in norm.non_trainable_variables}
    assert norms or name == "linear_probe"
