"""Methods on networks of a backbone and a head: frozen weights, the backbone's rate, LoRA."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine import update
from mpl_tf.engine.batch_statistics import normalisations
from mpl_tf.engine.label_training import LabelTraining
from mpl_tf.networks import heads, parts, set_trained
from mpl_tf.options import ConfigError

SHAPE = (6, 6, 3)


def network(seed=0, temperature=1.0):
    layers, initializer = keras.layers, keras.initializers.GlorotUniform(seed=seed)
    x = inputs = keras.Input(SHAPE)
    for name in ("one", "two"):
        x = layers.Conv2D(4, 3, name=name, kernel_initializer=initializer)(x)
        x = layers.BatchNormalization(momentum=0.5)(x)
        x = layers.Dropout(0.3, seed=seed)(x)
    backbone = keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name=parts.BACKBONE)
    for weight in backbone.weights:  # learned elsewhere: no initial values
        if weight.name != "kernel":
            weight.assign(weight + 0.37)
    return parts.join(backbone, heads.build(3, 4, seed=seed, temperature=temperature))


@pytest.fixture
def data(random_batch):
    return tf.data.Dataset.from_tensors(random_batch(SHAPE)).repeat()


def snapshot(network):
    return [np.array(w) for w in network.get_weights()]


def moved(network, before):
    """Which weights are no longer the same, bit by bit."""
    return [
        weight.path.split("/", 1)[-1] if "/" in weight.path else weight.path
        for weight, old in zip(network.weights, before, strict=True)
        if not np.array_equal(weight, old)
    ]


def check_only_head_moved(network, before):
    count = len(parts.backbone(network).weights)
    for weight, old in zip(network.weights[:count], before[:count], strict=True):
        np.testing.assert_array_equal(weight, old, err_msg=weight.path)
    assert moved(network, before)


@pytest.mark.parametrize("method", ["FixMatch", "MetaPseudoLabels"])
def test_frozen_weights_stay_bit_by_bit_batch_statistics_included(method, data):
    networks = [network(seed) for seed in (1, 2)]
    for each in networks:
        set_trained(each, "head")
    before = [snapshot(each) for each in networks]
    if method == "FixMatch":
        networks, before = networks[:1], before[:1]
        model = mpl_tf.FixMatch(networks[0], ema_decay=0.7)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), weight_decay=0.01)
    else:
        model = mpl_tf.MetaPseudoLabels(*networks, ema_decay=0.7)
        optimizers = [keras.optimizers.SGD(0.1) for _ in range(2)]
        model.compile(
            student_optimizer=optimizers[0], teacher_optimizer=optimizers[1], weight_decay=0.01
        )
    model.fit(data, steps_per_epoch=4, epochs=2, verbose=0)
    for each, old in zip(networks, before, strict=True):
        check_only_head_moved(each, old)
    check_only_head_moved(model.ema, before[-1])
    model.finetune(data, steps=3, optimizer=keras.optimizers.SGD(0.1), weight_decay=0.01, verbose=0)
    assert len(model.finetuned.trainable_variables) == 2
    check_only_head_moved(model.finetuned, snapshot(model.ema))
    check_only_head_moved(model.finetuned, before[-1])


def test_statistics_of_trained_layers_are_renewed_and_those_of_frozen_ones_not(data):
    student = network(1)
    set_trained(student, "last_1")
    before = snapshot(student)
    model = mpl_tf.FixMatch(student)
    model.compile("sgd")
    model.fit(data, steps_per_epoch=3, verbose=0)
    first, second = (
        layer for layer in parts.backbone(model.ema).layers if "normalization" in layer.name
    )
    changed = [
        not np.array_equal(weight, old)
        for weight, old in zip(model.ema.weights, before, strict=True)
    ]
    by_id = {id(w): c for w, c in zip(model.ema.weights, changed, strict=True)}
    assert [by_id[id(w)] for w in first.weights] == [False] * 4
    assert [by_id[id(w)] for w in second.weights] == [True] * 4


def test_where_all_statistics_are_frozen_no_pass_is_made_to_renew_them(data, monkeypatch):
    student = network(1)
    set_trained(student, "head")
    assert normalisations(student) == []
    assert len(normalisations(student, frozen=True)) == 2
    model = mpl_tf.FixMatch(student)
    model.compile("sgd")
    assert model.pass_counts.of(student) is None
    monkeypatch.setattr(mpl_tf.FixMatch, "student_passes", lambda *_: 1 / 0)
    model.renew_statistics(data, steps=2)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_backbone_rate_is_another_learning_rate(momentum, nesterov, rng):
    """The clipped gradient, its L2 term included, is applied at two rates."""
    one, two = network(), network()
    schedule = keras.optimizers.schedules.PolynomialDecay(0.5, 5)  # rates fall

    def sgd(factor=1.0):
        rate = (
            schedule
            if factor == 1
            else keras.optimizers.schedules.PolynomialDecay(
                0.5 * factor, 5, end_learning_rate=0.0001 * factor
            )
        )
        return keras.optimizers.SGD(rate, momentum=momentum, nesterov=nesterov)

    training = LabelTraining(one, "student")
    training.compile(sgd(), backbone_rate=0.25, weight_decay=0.01, clip_norm=1.0)
    slow, fast = sgd(0.25), sgd()
    first, last = (part.trainable_variables for part in (parts.backbone(two), parts.head(two)))
    for _ in range(4):
        gradient = [tf.constant(rng.normal(size=v.shape), v.dtype) for v in one.trainable_variables]
        training.update(training.network_optimizer, gradient, one.trainable_variables)
        reduced = update.reduce_gradient(gradient, two.trainable_variables, 0.01)
        clipped = update.clip(reduced, 1.0)
        slow.apply(clipped[: len(first)], first)
        fast.apply(clipped[len(first) :], last)
    for a, b in zip(one.trainable_variables, two.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    start = network()
    for a, b in zip(one.trainable_variables, start.trainable_variables, strict=True):
        assert np.any(np.abs(a.numpy() - b.numpy()) > 1e-4)


REFUSED = [
    ("adam", {"backbone_rate": 0.1}, "SGD without weight_decay alone; optimizer is Adam"),
    (
        keras.optimizers.SGD(0.1, weight_decay=0.1),
        {"backbone_rate": 0.1},
        "optimizer is SGD with weight_decay",
    ),
    ("sgd", {"backbone_rate": 0.0}, "backbone_rate must be a number greater than 0; received 0.0"),
    ("sgd", {"backbone_rate": "0.1"}, "backbone_rate must be a number greater than 0; received '0"),
]


@pytest.mark.parametrize(("optimizer", "arguments", "message"), REFUSED)
def test_rates_that_cannot_be_had_are_refused(optimizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        mpl_tf.FixMatch(network()).compile(optimizer, **arguments)


def test_a_rate_of_the_backbone_needs_a_backbone(convolutional):
    with pytest.raises(ConfigError, match=r"backbone_rate=0.1 is for networks of a backbone and"):
        mpl_tf.FixMatch(convolutional(0)).compile("sgd", backbone_rate=0.1)


def test_lora_is_trained_averaged_finetuned_saved_and_exported(data, rng, tmp_path):
    student = network(1)
    set_trained(student, "lora_2", batch_norm=False)
    kernels = [layer.kernel.numpy() for layer in _wrapped(student)]
    model = mpl_tf.FixMatch(student, ema_decay=0.5)
    model.compile(keras.optimizers.SGD(0.5))
    model.fit(data, steps_per_epoch=4, verbose=0)
    model.finetune(data, steps=3, optimizer=keras.optimizers.SGD(0.5), verbose=0)
    for each in (model.student, model.ema, model.finetuned):
        for layer, kernel in zip(_wrapped(each), kernels, strict=True):
            np.testing.assert_array_equal(layer._kernel, kernel)
            assert np.any(layer.lora_kernel_b)
    assert [v.path for v in model.finetuned.trainable_variables] == [
        v.path for v in model.student.trainable_variables
    ]
    images = rng.integers(0, 256, (5, *SHAPE)).astype(np.uint8)
    expected = model.predict(images, verbose=0)
    folder = model.export(str(tmp_path / "export"))
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    served = serve(images=tf.constant(images))["probabilities"]
    np.testing.assert_allclose(served, expected, atol=1e-5)
    model.finetuned.save(tmp_path / "finetuned.keras")
    loaded = keras.saving.load_model(tmp_path / "finetuned.keras")
    np.testing.assert_allclose(tf.nn.softmax(loaded(images)), expected, atol=1e-5)


def test_the_rotation_head_is_on_the_features_of_the_backbone(random_batch):
    batch = random_batch(SHAPE)
    batch |= {"weak": batch["weak"], "strong_2": batch["strong"]}
    student = network(1, temperature=0.5)
    model = mpl_tf.ReMixMatch(student, strong_views=2)
    images = tf.constant(batch["labeled"], tf.float32)
    together = model.trained(images)
    np.testing.assert_allclose(together[:, :3], student(images), rtol=1e-5, atol=1e-5)
    (turns,) = (layer for layer in model.trained.layers if layer.name == "rotation")
    features = parts.backbone(student)(images)
    np.testing.assert_allclose(together[:, 3:], turns(features), rtol=1e-4, atol=1e-5)
    seen = [v.name for v in model.trained.trainable_variables]
    assert len(seen) == len(student.trainable_variables) + 2


@pytest.mark.parametrize(
    ("method", "networks", "arguments"),
    [
        ("FixMatch", 1, {}),
        ("MetaPseudoLabels", 2, {}),
        ("PseudoLabel", 2, {}),
        ("NoisyStudent", 2, {"rounds": 2}),
    ],
)
def test_starting_networks_are_all_that_learn_and_their_copies(method, networks, arguments):
    model = getattr(mpl_tf, method)(*(network(seed) for seed in range(networks)), **arguments)
    names = [name.removesuffix("_optimizer") for name in model.optimizers]
    model.compile(**{f"{name}_optimizer": keras.optimizers.SGD(0.1) for name in names})
    there = [*model.starting_networks()]
    phases = [*model.pretraining_phases().values(), model]
    expected = {id(each) for phase in phases for each in phase.networks.values()}
    assert {id(each) for _, each in there} == expected
    assert {role for role, _ in there} == set(names)


def _wrapped(network):
    return [layer for layer in parts.backbone(network).layers if hasattr(layer, "enable_lora")]


def test_the_student_starts_from_what_its_teacher_has_learned(data):
    teacher, student = network(1), network(2)
    model = mpl_tf.PseudoLabel(teacher, student)
    model.compile(
        student_optimizer=keras.optimizers.SGD(0.0),
        teacher_optimizer=keras.optimizers.SGD(0.1),
        student_init="teacher",
    )
    model.pretrain(data, steps=3, verbose=0)
    learned = [np.array(v) for v in teacher.trainable_variables]
    model.fit(data, steps_per_epoch=2, verbose=0)
    for each in (student, model.ema):
        for value, expected in zip(each.trainable_variables, learned, strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_a_student_of_other_layers_cannot_start_from_its_teacher(convolutional, data):
    model = mpl_tf.PseudoLabel(convolutional(0), convolutional(1))
    with pytest.raises(ValueError, match="student_init must be seed or teacher; received 'x'"):
        model.compile(student_optimizer="sgd", teacher_optimizer="sgd", student_init="x")
    model = mpl_tf.PseudoLabel(mpl_tf.NETWORKS["mlp"](3, SHAPE), network())
    with pytest.raises(ConfigError, match="student of the teacher's layers; received a teacher of"):
        model.compile(student_optimizer="sgd", teacher_optimizer="sgd", student_init="teacher")
