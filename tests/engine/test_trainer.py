"""The methods as Keras models: fit, evaluate, predict, finetune, export, callbacks."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.engine.trainer import Trainer


def make():
    build = mpl_tf.NETWORKS["mlp"]
    model = mpl_tf.MetaPseudoLabels(build(3, (4, 4, 1), seed=1), build(3, (4, 4, 1), seed=2))
    model.compile(
        student_optimizer=keras.optimizers.SGD(0.1), teacher_optimizer=keras.optimizers.SGD(0.1)
    )
    return model


@pytest.fixture
def model():
    return make()


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (30, 4, 4, 1)).astype(np.uint8)


@pytest.fixture
def labels(rng):
    return rng.integers(3, size=30)


@pytest.fixture
def endless(images, labels):
    batch = {
        "labeled": images[:6],
        "label": labels[:6],
        "weak": images[6:20],
        "strong": images[6:20][:, ::-1],
    }
    return tf.data.Dataset.from_tensors(batch).repeat()


def test_fit_takes_standard_callbacks_and_validation(model, endless, images, labels, tmp_path):
    history = model.fit(
        endless,
        steps_per_epoch=2,
        epochs=3,
        verbose=0,
        validation_data=(images, labels),
        callbacks=[
            keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
            keras.callbacks.ModelCheckpoint(
                str(tmp_path / "best.weights.h5"),
                monitor="val_student_accuracy",
                mode="max",
                save_best_only=True,
                save_weights_only=True,
            ),
            keras.callbacks.EarlyStopping("val_student_cross_entropy", mode="min", patience=10),
            keras.callbacks.TensorBoard(str(tmp_path / "tb"), write_graph=False),
            keras.callbacks.TerminateOnNaN(),
        ],
    )
    assert len(history.history["student_loss"]) == 3
    assert {"val_teacher_accuracy", "val_ema_accuracy", "feedback"} <= history.history.keys()
    assert (tmp_path / "best.weights.h5").exists()
    assert int(model.step) == 6


def test_evaluate_counts_what_is_right_also_in_a_last_smaller_batch(model, images, labels):
    results = model.evaluate(images, labels, batch_size=7, verbose=0, return_dict=True)
    logits = model.student.predict(images, verbose=0)
    assert results["student_accuracy"] == pytest.approx(np.mean(logits.argmax(1) == labels))
    probs = tf.nn.softmax(logits).numpy()
    loss = -np.log(probs[np.arange(30), labels]).mean()
    assert results["student_cross_entropy"] == pytest.approx(loss, rel=1e-5)
    assert "finetuned_accuracy" not in results


def test_evaluate_without_return_dict_gives_a_list(model, images, labels):
    assert len(model.evaluate(images, labels, verbose=0)) == 6


def test_predict_gives_probabilities_of_the_ema_then_of_the_finetuned(model, images, endless):
    def softmax_of(network):
        return tf.nn.softmax(network.predict(images, verbose=0)).numpy()

    model.fit(endless, steps_per_epoch=3, verbose=0)
    np.testing.assert_allclose(model.predict(images, verbose=0), softmax_of(model.ema), rtol=1e-5)
    model.finetune(endless, steps=2, optimizer=keras.optimizers.SGD(0.5), verbose=0)
    assert not np.allclose(softmax_of(model.ema), softmax_of(model.finetuned))
    probs = model.predict(images, verbose=0)
    np.testing.assert_allclose(probs, softmax_of(model.finetuned), rtol=1e-5)
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)


def test_evaluate_reports_the_finetuned_network_too(model, images, labels, endless):
    model.evaluate(images, labels, verbose=0)
    model.finetune(endless, steps=1, verbose=0)
    results = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert {"student_accuracy", "finetuned_accuracy"} <= results.keys()


def test_finetuning_twice_starts_from_the_ema_again(model, endless):
    model.finetune(endless, steps=3, optimizer=keras.optimizers.SGD(0.5), verbose=0)
    first = model.finetuned.get_weights()
    model.finetune(endless, steps=3, optimizer=keras.optimizers.SGD(0.5), verbose=0)
    for a, b in zip(first, model.ema.get_weights(), strict=True):
        if np.any(b):
            assert not np.array_equal(a, b)


def test_no_retracing_after_the_first_step(model, endless):
    model.fit(endless, steps_per_epoch=1, verbose=0)
    traced = model.train_function.experimental_get_tracing_count()
    model.fit(endless, steps_per_epoch=4, verbose=0)
    assert model.train_function.experimental_get_tracing_count() == traced == 1


def test_eager_steps_equal_graph_steps(endless):
    weights = []
    for run_eagerly in (False, True):
        build = mpl_tf.NETWORKS["mlp"]
        networks = (build(3, (4, 4, 1), seed=s, dropout=0.0) for s in (1, 2))
        model = mpl_tf.MetaPseudoLabels(*networks)
        model.compile(
            student_optimizer=keras.optimizers.SGD(0.1),
            teacher_optimizer=keras.optimizers.SGD(0.1),
            run_eagerly=run_eagerly,
        )
        model.fit(endless, steps_per_epoch=3, verbose=0)
        weights.append(model.teacher.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_fit_without_a_number_of_steps_is_refused(model, endless):
    with pytest.raises(ValueError, match="steps_per_epoch"):
        model.fit(endless)


@pytest.mark.parametrize("wrong", [{"weight_decay": -1}, {"clip_norm": 0}])
def test_compile_refuses_values_out_of_range(model, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        model.compile(
            student_optimizer=keras.optimizers.SGD(),
            teacher_optimizer=keras.optimizers.SGD(),
            **wrong,
        )


def test_teacher_and_student_may_differ(images, endless):
    student = mpl_tf.NETWORKS["small"](3, (4, 4, 1))
    model = mpl_tf.MetaPseudoLabels(mpl_tf.NETWORKS["mlp"](3, (4, 4, 1)), student)
    model.compile(
        student_optimizer=keras.optimizers.SGD(0.1), teacher_optimizer=keras.optimizers.SGD(0.1)
    )
    model.fit(endless, steps_per_epoch=1, verbose=0)


def test_weights_survive_a_file(model, endless, tmp_path):
    model.fit(endless, steps_per_epoch=2, verbose=0)
    saved = [w.copy() for w in model.get_weights()]
    model.save_weights(tmp_path / "all.weights.h5")
    model.fit(endless, steps_per_epoch=2, verbose=0)
    model.load_weights(tmp_path / "all.weights.h5")
    for a, b in zip(saved, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_methods_are_final_and_do_not_inherit_from_each_other():
    for method in mpl_tf.METHODS.values():
        assert method.__final__
        assert issubclass(method, Trainer)
        assert not [other for other in mpl_tf.METHODS.values() if other in method.__mro__[1:]]


def test_images_that_do_not_fit_a_network_are_refused_before_a_step():
    images = np.zeros([12, 8, 8, 1], np.uint8)
    data = mpl_tf.data.pair(
        (images, np.arange(12) % 3), labeled_batch=2, unlabeled_ratio=1, weak=None, strong=None
    )
    networks = [mpl_tf.NETWORKS["mlp"](3, (8, 8, 3), seed=seed) for seed in (0, 1)]
    model = mpl_tf.MetaPseudoLabels(*networks)
    model.compile(
        student_optimizer=keras.optimizers.SGD(0.1), teacher_optimizer=keras.optimizers.SGD(0.1)
    )
    with pytest.raises(
        ValueError, match=r"takes images of shape \(8, 8, 3\); received .* \(8, 8, 1\)"
    ):
        model.fit(data, steps_per_epoch=1)


def graphs():
    gc.collect()
    return sum(type(each).__name__ == "FuncGraph" for each in gc.get_objects())


def test_a_method_takes_its_graphs_with_it(endless, images, labels):
    """A process that trains hundreds of networks one by one needs no more memory than for one."""
    before = graphs()
    method = make()
    method.fit(endless, steps_per_epoch=2, verbose=0, validation_data=(images, labels))
    method.finetune(endless, steps=2, verbose=0)
    assert graphs() > before
    del method
    assert graphs() == before
