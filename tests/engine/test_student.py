"""The optimizers that methods take, what a method may return and log, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf import networks
from mpl_tf.engine.student import StudentMethod


@pytest.fixture
def fixmatch(linear):
    return mpl_tf.FixMatch(linear(5, 3))


@pytest.fixture
def mpl(linear):
    return mpl_tf.MetaPseudoLabels(linear(5, 3), linear(5, 3))


CONFIGURATION = keras.optimizers.serialize(keras.optimizers.SGD(0.25, momentum=0.5))


@pytest.mark.parametrize("keyword", [None, "optimizer", "student_optimizer"])
@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD, lambda: "sgd", lambda: CONFIGURATION])
def test_one_network_takes_one_optimizer_by_any_name(fixmatch, keyword, optimizer):
    arguments = ([optimizer()], {}) if keyword is None else ([], {keyword: optimizer()})
    fixmatch.compile(*arguments[0], **arguments[1])
    assert isinstance(fixmatch.student_optimizer, keras.optimizers.SGD)
    assert fixmatch.student_optimizer.built  # slots made inside a step crash


def test_a_configuration_keeps_its_values(fixmatch):
    fixmatch.compile(optimizer=CONFIGURATION)
    assert float(fixmatch.student_optimizer.learning_rate) == 0.25
    assert fixmatch.student_optimizer.momentum == 0.5


@pytest.mark.parametrize(
    ("optimizers", "message"),
    [
        ({}, "FixMatch.compile takes one optimizer, .* received none"),
        ({"optimizer": "sgd", "student_optimizer": "sgd"}, "takes one optimizer, .* received two"),
        ({"optimizer": "sdg"}, "optimizer must be .* its name such as 'sgd'.* received 'sdg'"),
        ({"student_optimizer": 0.1}, "student_optimizer must be .* received 0.1"),
    ],
)
def test_other_optimizers_of_one_network_are_refused(fixmatch, optimizers, message):
    with pytest.raises(ValueError, match=message):
        fixmatch.compile(**optimizers)


@pytest.mark.parametrize("method", ["mpl", "pseudo_label", "noisy_student"])
@pytest.mark.parametrize(
    ("positional", "named"),
    [
        (["sgd"], {}),
        (["sgd", "sgd"], {}),
        ([], {}),
        ([], {"optimizer": "sgd"}),
        ([], {"student_optimizer": "sgd"}),
        ([], {"teacher_optimizer": "sgd"}),
        (["sgd"], {"student_optimizer": "sgd", "teacher_optimizer": "sgd"}),
    ],
)
def test_two_networks_take_two_optimizers_by_name_alone(linear, method, positional, named):
    model = mpl_tf.METHODS[method](linear(5, 3), linear(5, 3))
    with pytest.raises(ValueError, match=r"has two networks.* compile\(student_optimizer=..., te"):
        model.compile(*positional, **named)


def test_the_optimizers_of_two_networks_may_differ(mpl):
    mpl.compile(student_optimizer="sgd", teacher_optimizer=CONFIGURATION)
    assert float(mpl.teacher_optimizer.learning_rate) == 0.25
    assert mpl.student_optimizer is not mpl.teacher_optimizer


@pytest.mark.parametrize("method", ["mpl", "pseudo_label", "noisy_student"])
def test_one_optimizer_for_two_networks_is_refused(linear, method):
    """Each keeps the momentum of its network."""
    model = mpl_tf.METHODS[method](linear(5, 3), linear(5, 3))
    optimizer = keras.optimizers.SGD(0.1)
    with pytest.raises(ValueError, match=r"two objects.* received the same object"):
        model.compile(student_optimizer=optimizer, teacher_optimizer=optimizer)


def test_one_configuration_for_two_networks_makes_two_optimizers(mpl):
    mpl.compile(student_optimizer=CONFIGURATION, teacher_optimizer=CONFIGURATION)
    assert mpl.student_optimizer is not mpl.teacher_optimizer


def test_a_step_without_an_optimizer_says_so(fixmatch, random_batch, endless):
    with pytest.raises(Exception, match="compile"):
        fixmatch.fit(endless(random_batch((5,))), steps_per_epoch=1)


def test_a_name_trains_as_the_optimizer_does(linear, random_batch, endless):
    batch, start, weights = random_batch((5,)), linear(5, 3).get_weights(), []
    for optimizer in ("sgd", keras.optimizers.SGD()):
        model = mpl_tf.FixMatch(linear(5, 3))
        model.student.set_weights(start)
        model.compile(optimizer)
        model.fit(endless(batch), steps_per_epoch=2, verbose=0)
        weights.append(model.student.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(weights[0][0], start[0])


def test_batches_without_known_labels_are_no_part_of_the_accuracy_of_pseudo_labels(linear):
    method = mpl_tf.FixMatch(linear(2, 3))
    probs = np.eye(3)  # of classes 0, 1 and 2
    method.log_pseudo_labels(probs, {"hidden_label": np.array([-1, -1, -1])})
    assert "pseudo_label_accuracy" not in method.logged
    for hidden in ([0, -1, -1], [1, 1, 0], [-1, -1, -1]):  # 1 of 1, then 1 of 3, right
        method.log_pseudo_labels(probs, {"hidden_label": np.array(hidden)})
    assert "pseudo_label_accuracy" in method.logged
    assert float(method.means.result()["pseudo_label_accuracy"]) == 0.5


class OfUser(StudentMethod):
    """A method whose objective and targets a test sets."""

    def targets(self, batch):
        return self.of_test[0](self, batch)

    def objective(self, batch):
        return self.of_test[1](self, batch)


def loss_of(method, batch):
    (logits,) = method.forward(method.student, batch["labeled"])
    return method.label_loss(batch["label"], logits)


def log_x(method, batch):
    method.log(x=1.0)
    return {}


def twice(name):
    def objective(method, batch):
        method.log(**{name: 3.0})
        return tf.reduce_mean(loss_of(method, batch)), None

    return objective


@pytest.mark.parametrize(
    ("targets", "objective", "message"),
    [
        (log_x, twice("x"), "OfUser logs x twice"),
        (log_x, twice("student_loss"), "logs student_loss twice"),
        (log_x, lambda *a: tf.reduce_mean(loss_of(*a)), r"received a \w*Tensor.* shape \(\)"),
        (log_x, lambda *a: (loss_of(*a), None), r"received a tuple whose loss has shape \(4,\)"),
        (log_x, lambda *a: None, "received a NoneType whose loss has shape None"),
    ],
)
def test_what_a_method_returns_and_logs_must_make_sense(
    linear, random_batch, endless, targets, objective, message
):
    method = OfUser(linear(5, 3))
    method.of_test = targets, objective
    method.compile("sgd")
    with pytest.raises(ValueError, match=message):
        method.fit(endless(random_batch([5])), steps_per_epoch=1, verbose=0)


def test_each_step_logs_anew(linear, random_batch, endless):
    method = OfUser(linear(5, 3))
    method.of_test = log_x, twice("y")
    method.compile("sgd", run_eagerly=True)
    history = method.fit(endless(random_batch([5])), steps_per_epoch=2, epochs=2, verbose=0)
    assert history.history["x"] == [1.0, 1.0]
    assert history.history["y"] == [3.0, 3.0]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_an_optimizer_of_another_network_is_refused(linear, momentum, random_batch, endless):
    optimizer = keras.optimizers.SGD(0.1, momentum=momentum)
    first = mpl_tf.FixMatch(linear(5, 3))
    first.compile(optimizer)
    first.compile(optimizer)  # of the same network
    with pytest.raises(ValueError, match="optimizer was used for another network, whose momentum"):
        mpl_tf.UDA(linear(5, 3)).compile(optimizer)
    tuned = keras.optimizers.SGD(0.1, momentum=momentum)
    first.finetune(endless(random_batch((5,))), steps=1, optimizer=tuned, verbose=0)
    with pytest.raises(ValueError, match="was used for another network"):
        first.finetune(endless(random_batch((5,))), steps=1, optimizer=tuned, verbose=0)


def test_an_optimizer_that_leaves_steps_out_is_refused(fixmatch):
    with pytest.raises(ValueError, match="gradient_accumulation_steps set, by which most steps"):
        fixmatch.compile(keras.optimizers.SGD(gradient_accumulation_steps=4))


@pytest.mark.parametrize("name", ["fixmatch", "mpl"])
def test_a_loss_scale_factor_changes_no_weight(name, linear, random_batch, endless):
    """Losses are scaled, and gradients are unscaled before L2, clipping and feedback."""
    batch, method_class, weights = random_batch((5,)), mpl_tf.METHODS[name], []
    start = [linear(5, 3).get_weights() for _ in method_class.optimizers]
    for factor in (None, 1024.0):
        model = method_class(*(linear(5, 3) for _ in start))
        trained = [model.teacher, model.student] if name == "mpl" else [model.student]
        for network, values in zip(trained, start, strict=True):
            network.set_weights(values)
        model.compile(
            **{
                role: keras.optimizers.SGD(0.5, momentum=0.5, loss_scale_factor=factor)
                for role in method_class.optimizers
            },
            weight_decay=0.1,
            clip_norm=0.3,
        )
        model.fit(endless(batch), steps_per_epoch=3, verbose=0)
        weights.append([w for network in trained for w in network.get_weights()])
    for plain, scaled, old in zip(*weights, [v for values in start for v in values], strict=True):
        np.testing.assert_allclose(scaled, plain, rtol=0, atol=1e-6)
        assert np.abs(plain - old).max() > 0.01


def test_a_loss_scale_factor_is_kept_in_float16():
    """Keras's optimizer that scales by itself would drop it."""
    with networks.precision("float16"):
        network = networks.NETWORKS["mlp"](3, (4, 4, 1))
    model = mpl_tf.FixMatch(network)
    model.compile(keras.optimizers.SGD(loss_scale_factor=128.0))
    assert model.student_optimizer.loss_scale_factor == 128.0
