"""EnAET: its losses and weights by hand in numpy, its transformations, and its limits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf

# Turned by any angle, digits are other digits: in 200 steps of an mlp that outweighs the labels.
CONTRACT = {"digits": {"divergence_weight": 0.1}}
SIZES = {"projective": 8, "affine": 6, "similarity": 5, "euclidean": 4, "color": 4}
WEIGHTS = {"projective": 10.0, "affine": 7.5, "similarity": 5.0, "euclidean": 2.0, "color": 0.5}
NONE = {f"{name}_weight": 0.0 for name in SIZES}
SHAPE = (6, 6, 1)


@pytest.fixture
def flat():
    """flat(features): a float64 network of one dense layer on the pixels, or of two."""

    def build(hidden=None):
        layers, initial = keras.layers, keras.initializers.GlorotUniform
        x = inputs = keras.Input(SHAPE, dtype="float64")
        x = layers.Rescaling(1 / 255, dtype="float64")(x)
        x = layers.Flatten(dtype="float64")(x)
        if hidden:
            x = layers.Dense(hidden, "tanh", dtype="float64", kernel_initializer=initial(3))(x)
        return keras.Model(
            inputs, layers.Dense(3, dtype="float64", kernel_initializer=initial(1))(x)
        )

    return build


@pytest.fixture
def batch(rng):
    """4 labeled and 6 unlabeled images of values from 0 to 255."""
    views = {"labeled": 4, "weak": 6, "weak_2": 6}
    images = {name: rng.uniform(0, 255, (count, *SHAPE)) for name, count in views.items()}
    return images | {"label": rng.integers(3, size=4)}


def make(student, **hyperparameters):
    model = mpl_tf.EnAET(student, seed=5, **hyperparameters)
    model.compile(keras.optimizers.SGD(0.1))
    return model


def tensors(batch):
    return {name: tf.constant(value) for name, value in batch.items()}


def test_losses_by_hand(flat, batch, endless, by_hand):
    """In the step 30 of a ramp of 400: three of ten parts of the limit, of all five."""
    weights = {f"{name}_weight": 3.0 * weight for name, weight in WEIGHTS.items()}
    model = make(
        flat(), unlabeled_weight=2.0, ramp_steps=40, guessing_ramp_steps=400, guessing_limit=0.2,
        divergence_weight=1.5, label_smoothing=0.1, temperature=0.4, **weights,
    )  # fmt: skip
    model.step.assign(30)
    targets = model.targets(tensors(batch))
    kernel, bias = (w.copy() for w in model.student.get_weights())
    (decoders,) = (layer for layer in model.trained.layers if layer.name == "decoders")
    to_tell, offset = (w.copy() for w in decoders.get_weights())
    assert to_tell.shape == (36, 2 * (8 + 6 + 5 + 4 + 4))
    logs = model.fit(endless(batch), steps_per_epoch=1, verbose=0).history

    def features(images):
        return np.asarray(images).reshape(len(images), -1) / 255

    guess = np.asarray(targets["guess"])
    labels = [np.asarray(each) for each in targets["labels"]]
    probs = [by_hand.softmax(features(i) @ kernel + bias) for i in targets["images"]]
    supervised = -np.mean(np.sum(labels[0] * np.log(probs[0]), axis=1))
    unlabeled = np.mean((np.concatenate(probs[1:]) - np.concatenate(labels[1:])) ** 2)
    expected = supervised + 2.0 * 30 / 40 * unlabeled
    begin, divergences = 0, []
    for name, size in SIZES.items():
        first, second = (slice(begin + i * size, begin + (i + 1) * size) for i in (0, 1))
        begin += 2 * size
        own, other = features(batch["weak"]), features(targets["transformed"][name])
        told = own @ to_tell[:, first] + offset[first] + other @ to_tell[:, second] + offset[second]
        error = np.mean((told - np.asarray(targets["parameters"][name])) ** 2)
        assert logs[f"{name}_error"][0] == pytest.approx(error, rel=1e-5)
        expected += 3.0 * WEIGHTS[name] * min(30 / 400, 0.2) * error
        predicted = by_hand.softmax(other @ kernel + bias)
        divergences.append(np.mean(np.sum(guess * np.log(guess / predicted), axis=1)))
    assert logs["divergence"][0] == pytest.approx(np.mean(divergences), rel=1e-5)
    expected += 1.5 * np.mean(divergences)
    assert logs["student_loss"][0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("step", "share"), [(0, 0.0), (30, 0.03), (100, 0.1), (5000, 0.1)])
def test_weights_of_guessing_rise_to_a_limit(step, share, flat, batch, endless):
    """By default a tenth of the paper's weights: 1, 0.75, 0.5, 0.2, and 0.05 of colours."""
    model = make(
        flat(), guessing_ramp_steps=1000, unlabeled_weight=0.0, divergence_weight=0.0,
        color_weight=0.5,
    )  # fmt: skip
    model.step.assign(step)
    logs = model.fit(endless(batch), steps_per_epoch=1, verbose=0).history
    rest = logs["student_loss"][0] - logs["supervised_loss"][0]
    expected = sum(share * WEIGHTS[name] * logs[f"{name}_error"][0] for name in SIZES)
    assert rest == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("colored", [False, True])
def test_defaults_leave_colours_out(colored, flat, batch):
    model = make(flat(), **({"color_weight": 0.5} if colored else {}))
    views, told = model.transformed(tf.constant(batch["weak"]))
    names = ["projective", "affine", "similarity", "euclidean"] + ["color"] * colored
    assert list(views) == list(told) == names
    for name in names:
        assert views[name].shape == (6, *SHAPE)
        assert told[name].shape == (6, SIZES[name])
        assert not np.allclose(views[name], batch["weak"], atol=1)


def test_transformations_are_a_function_of_seed_and_step(flat, batch):
    drawn = []
    for seed, step in ((5, 0), (5, 0), (5, 1), (6, 0)):
        model = mpl_tf.EnAET(flat(), seed=seed)
        model.step.assign(step)
        views, _ = model.transformed(tf.constant(batch["weak"]))
        drawn.append(views["affine"].numpy())
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.allclose(drawn[0], drawn[2], atol=1)
    assert not np.allclose(drawn[0], drawn[3], atol=1)


def after_steps(method, student, batch, endless, **hyperparameters):
    """What the student's and the average's weights, and the losses, are after three steps."""
    model = method(student, seed=5, label_smoothing=0.1, ramp_steps=2, **hyperparameters)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), weight_decay=0.01)
    logs = model.fit(endless(batch), steps_per_epoch=1, epochs=3, verbose=0).history
    return [np.array(v) for v in (*model.student.variables, *model.ema.variables)], logs


def test_without_transformations_it_is_mixmatch(convolutional, batch, endless, by_hand):
    """To the last bit, with batch normalisation and dropout."""
    ours, logs = after_steps(mpl_tf.EnAET, convolutional(1), batch, endless, **NONE)
    theirs, expected = after_steps(mpl_tf.MixMatch, convolutional(1), batch, endless)
    by_hand.assert_identical(ours, theirs)
    assert logs == expected


def test_guessing_and_divergence_without_weight_leave_the_student_as_mixmatch_does(
    flat, batch, endless, by_hand
):
    more = {"guessing_limit": 0.0, "divergence_weight": 0.0}
    ours, _ = after_steps(mpl_tf.EnAET, flat(4), batch, endless, **more)
    theirs, _ = after_steps(mpl_tf.MixMatch, flat(4), batch, endless)
    by_hand.assert_close(ours, theirs, 1e-9)


def test_features_are_not_transformed(linear, more_views, endless, by_hand):
    student = linear(5, 3)
    model = mpl_tf.EnAET(student)
    assert model.trained is student
    twin = keras.models.clone_model(student)
    twin.set_weights(student.get_weights())
    ours, _ = after_steps(mpl_tf.EnAET, student, more_views, endless)
    theirs, _ = after_steps(mpl_tf.MixMatch, twin, more_views, endless)
    by_hand.assert_identical(ours, theirs)


@pytest.mark.parametrize("name", SIZES)
def test_guessing_pulls_on_its_decoder_and_on_the_network_before_it(name, flat, batch):
    only = NONE | {f"{name}_weight": 1.0}
    model = make(flat(4), divergence_weight=0.0, guessing_ramp_steps=0, guessing_limit=1.0, **only)
    batch = tensors(batch)
    targets = batch | model.targets(batch)
    with tf.GradientTape() as tape:
        parts = [targets["weak"], targets["transformed"][name]]
        outputs = model.forward(model.trained, *parts)
        loss = model.told_loss(targets, *outputs)
    variables = model.trained.trainable_variables
    gradient = tape.gradient(loss, variables, unconnected_gradients="zero")
    pulled = {v.path: np.abs(g).max() for v, g in zip(variables, gradient, strict=True)}
    of_logits = {v.path for v in model.student.layers[-1].variables}
    assert len(pulled) == 6 and of_logits < pulled.keys()
    assert {path for path, size in pulled.items() if size > 1e-9} == pulled.keys() - of_logits


def test_decoders_learn(flat, batch, endless):
    only = NONE | {"euclidean_weight": 1.0}
    model = make(
        flat(32), unlabeled_weight=0.0, divergence_weight=0.0, guessing_ramp_steps=0,
        guessing_limit=1.0, **only,
    )  # fmt: skip
    logs = model.fit(endless(batch), steps_per_epoch=40, epochs=10, verbose=0).history
    assert logs["euclidean_error"][-1] < 0.7 * logs["euclidean_error"][0]


def test_decoders_are_in_checkpoints_and_in_no_export(flat):
    model = make(flat())
    own = {id(v) for v in model.student.variables}
    beside = [v for v in model.trained.trainable_variables if id(v) not in own]
    assert len(beside) == 2
    assert {id(v) for v in beside} <= {id(v) for v in model.weights}
    assert model.student.output_shape == (None, 3)
    assert all(network is not model.trained for network in model.networks.values())


def test_networks_that_cannot_be_transformed_for_are_refused():
    inputs = keras.Input([6, 6, 2])
    network = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    with pytest.raises(mpl_tf.ConfigError, match=r"1 or 3\]; received \(None, 6, 6, 2\)"):
        mpl_tf.EnAET(network)
    assert mpl_tf.EnAET(network, **NONE).trained is network
