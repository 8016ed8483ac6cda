"""What self-supervised methods share: what labels teach, which networks they take, their memory."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine import batch_statistics, projections, self_supervised
from mpl_tf.methods import METHODS, SELF_SUPERVISED
from mpl_tf.networks.parts import join
from mpl_tf.options import ConfigError

SMALL = {
    "byol": {"hidden_width": 8, "projection": 4},
    "moco_v2": {"queue": 9, "projection": 4, "target_momentum": 0.5},
    "pcl": {"queue": 9, "projection": 4, "cluster_from": 1, "target_momentum": 0.5},
    "pirl": {"negatives": 9, "projection": 4},
    "simclr": {"projection": 4},
}


@pytest.fixture
def batch(random_batch):
    """Images of 6 x 6 pixels with the views of all of them, of a pool of 12."""
    drawn = random_batch((6, 6, 1))
    return drawn | {"strong_2": drawn["weak"], "index": np.arange(6)}


def make(name, student, **hyperparameters):
    pool = {"num_unlabeled": 12} if METHODS[name].needs_num_unlabeled() else {}
    return METHODS[name](student, **pool, **SMALL[name], **hyperparameters)


def small_network():
    """A network of 6 x 6 pixels with batch normalisation, whose last layer is called labels."""
    x = inputs = keras.Input([6, 6, 1])
    start = keras.initializers.GlorotUniform(0)
    for layer in (
        keras.layers.Conv2D(4, 3, kernel_initializer=start),
        keras.layers.BatchNormalization(),
        keras.layers.LeakyReLU(),
        keras.layers.Flatten(),
        keras.layers.Dense(
            3, kernel_initializer=keras.initializers.GlorotUniform(1), name="labels"
        ),
    ):
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("name", SELF_SUPERVISED)
def test_labels_teach_the_classifier_alone(name, batch, endless):
    """To the last bit: encoder, projectors, targets and memory are those of other labels."""
    states = []
    for label in (batch["label"], (batch["label"] + 1) % 3):
        model = make(name, small_network())
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), run_eagerly=True)
        data = endless(batch | {"label": label})
        model.fit(data, steps_per_epoch=2, verbose=0, renew_statistics=False)
        of_metrics = {id(v) for metric in model.metrics for v in metric.variables}
        variables = [v for v in model.variables if id(v) not in of_metrics]
        states.append([np.array(v) for v in variables])
        of_classifier = ["labels" in v.path for v in variables]
    assert sum(of_classifier) in (4, 6)  # of the student, of `ema`, and of a target
    for learned, one, other in zip(of_classifier, *states, strict=True):
        assert np.array_equal(one, other) != learned


def test_a_network_whose_last_layer_hides_is_refused():
    inputs = keras.Input([4])
    several = keras.Model(inputs, keras.layers.Reshape([2, 3])(keras.layers.Dense(6)(inputs)))
    with pytest.raises(ConfigError, match=r"need a network of logits \[N, K\] whose last layer"):
        projections.parts(several)


@pytest.mark.parametrize(
    ("method", "remedy"),
    [
        (mpl_tf.ReMixMatch, "rotation_weight=0 leaves them out"),
        (mpl_tf.EnAET, r"Weights of 0 \(projective_weight=0, ...\) leave them out"),
    ],
)
def test_a_further_head_on_what_hides_is_refused_with_a_way_out(method, remedy):
    images = keras.Input([6, 6, 1])
    pooled = keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(3, 3)(images))
    with pytest.raises(ConfigError, match=rf"last layer can be told, .* hides it, .*\. {remedy}"):
        method(keras.Model(images, pooled))


@pytest.mark.parametrize("hidden", [[], [5]])
def test_a_head_is_divided(hidden, rng):
    """Of a network of two parts, the encoder has all but the head's last layer."""
    inputs, x = keras.Input([6, 6, 1]), keras.Input([4])
    maps = keras.layers.Conv2D(4, 3)(inputs)
    backbone = keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(maps), name="backbone")
    rows = x
    for size in hidden:
        rows = keras.layers.Dense(size, "relu")(rows)
    network = join(backbone, keras.Model(x, keras.layers.Dense(3)(rows), name="head"))
    encoder, classifier = projections.parts(network)
    assert encoder.output_shape == (None, *(hidden or [4]))
    images = rng.normal(size=(2, 6, 6, 1)).astype("float32")
    np.testing.assert_allclose(classifier(encoder(images)), network(images), atol=1e-6)
    model = mpl_tf.SimCLR(network, projection=2)
    assert len(model.trained.trainable_variables) == len(network.weights) + 5


def test_projections_beside_logits(two_dense, rng):
    """[classifier(f), projector(f)]; the first has no gradient by the encoder."""
    student, images = two_dense, tf.constant(rng.normal(size=(2, 5)))
    shapes = {"batch_norm": False, "synchronized": False, "dtype": "float64"}
    first = projections.perceptron(4, (6, 2), seed=0, name="first", **shapes)
    second = projections.perceptron(2, (3,), seed=1, name="second", **shapes)
    assert projections.width(student) == 4
    network = projections.with_outputs(student, first, second, labels_teach=False)
    features = projections.parts(student)[0](images)
    expected = np.concatenate([student(images), second(first(features))], axis=1)
    with tf.GradientTape() as tape:
        both = network(images)
        logits = both[:, :3]
    np.testing.assert_allclose(both, expected, atol=1e-12)
    by_encoder, by_classifier = tape.gradient(
        logits, [student.trainable_variables[0], student.trainable_variables[-1]]
    )
    assert by_encoder is None or not np.any(by_encoder)
    assert np.any(by_classifier)


@pytest.fixture
def two_dense():
    """A network of 5 numbers, 4 features and 3 classes, in float64."""
    inputs = keras.Input([5], dtype="float64")
    features = keras.layers.Dense(4, "tanh", dtype="float64")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, dtype="float64")(features))


def test_batch_norm_is_before_each_relu_but_not_at_the_end():
    made = projections.perceptron(
        4, (6, 5, 2), batch_norm=True, synchronized=False, dtype="float32", seed=0, name="deep"
    )
    kinds = [type(layer).__name__ for layer in made.layers[1:]]
    assert kinds == [*["Dense", "BatchNormalization", "ReLU"] * 2, "Dense"]
    assert [layer.use_bias for layer in made.layers if hasattr(layer, "units")] == [0, 0, 1]


@pytest.mark.parametrize("momentum", [0.999, 0.5])
def test_the_target_forgets_where_batch_statistics_start(momentum, batch, endless):
    """They are the mean of the student's, up to the target's own momentum."""
    model = mpl_tf.MoCoV2(small_network(), queue=9, projection=4, target_momentum=momentum)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    students, expected = [], 0.0
    for step in range(3):
        model.fit(endless(batch), steps_per_epoch=1, verbose=0, renew_statistics=False)
        students.append(model.student.layers[2].moving_variance.numpy())
        decay = min(momentum, step / (step + 1))
        expected = decay * expected + (1 - decay) * students[-1]
    (norm,) = batch_statistics.normalisations(model.target)
    np.testing.assert_allclose(norm.moving_variance, expected, rtol=1e-5)
    assert (momentum == 0.5) != np.allclose(expected, np.mean(students, axis=0))


def test_memory_has_the_mean_of_an_image_that_comes_twice(linear):
    """And directions of length 1; images that do not come stay as they are."""
    model = make("pirl", linear(5, 3))
    before = model.memory.numpy()
    keys = tf.constant([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0]])
    self_supervised.remember(model.memory, tf.constant([2, 5, 2]), keys, 0.25)
    moved = [
        0.25 * before[2] + 0.75 * np.array([0.5, 0, 0.5, 0]),
        0.25 * before[5] + 0.75 * keys[1],
    ]
    expected = before.copy()
    for place, row in zip((2, 5), moved, strict=True):
        expected[place] = row / np.linalg.norm(row)
    np.testing.assert_allclose(model.memory, expected, atol=1e-6)
    assert np.array_equal(np.delete(model.memory, [2, 5], 0), np.delete(before, [2, 5], 0))


@pytest.mark.parametrize("name", ["pcl", "pirl"])
def test_a_step_makes_nothing_as_large_as_the_memory(name, batch):
    """But the branch of PCL's clustering, which is a function that is rarely called."""
    model = METHODS[name](small_network(), num_unlabeled=12_345, **SMALL[name])
    model.compile("sgd")
    step = tf.function(model.train_step).get_concrete_function(batch)
    shapes = [(out.shape, op.type) for op in step.graph.get_operations() for out in op.outputs]
    large = {kind for shape, kind in shapes if shape.rank == 2 and shape[0] == 12_345}
    assert not large and "ResourceScatterUpdate" in {op.type for op in step.graph.get_operations()}


def test_memory_starts_with_directions_that_the_seed_makes(linear):
    one, again, other = (make("pirl", linear(5, 3), seed=seed).memory.numpy() for seed in (3, 3, 4))
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-6)
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert len(np.unique(one[:, 0])) == len(one)


def of_maps(x):
    maps = keras.layers.Conv2D(3, 3)(x)
    return keras.layers.GlobalAveragePooling2D()(maps)


def of_flat(x):
    return keras.layers.Dense(3)(keras.layers.Flatten()(x))


@pytest.mark.parametrize(
    "last",
    [
        of_maps,
        lambda x: of_flat(x) / 0.1,
        lambda x: keras.layers.BatchNormalization()(of_flat(x)),
        lambda x: of_flat(x) + of_flat(x),
    ],
)
@pytest.mark.parametrize("name", ["simclr", "enaet"])
def test_a_network_whose_classifier_cannot_be_told_is_refused(name, last):
    inputs = keras.Input([6, 6, 1])
    student = keras.Model(inputs, last(inputs))
    with pytest.raises(ConfigError, match="last layer"):
        METHODS[name](student)
