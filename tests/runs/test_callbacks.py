"""Guard, log, bar and checkpoints between the steps, ours and Keras's."""

import csv
import logging
import os
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.runs import callbacks
from mpl_tf.signals import Stop, Terminated


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_stops_with_step_and_name(bad):
    guard = callbacks.StopOnNonFinite("train", offset=10)
    guard.on_epoch_begin(0)
    guard.on_train_batch_end(0, {"loss": 1.0, "other": 2.0})
    with pytest.raises(callbacks.NonFiniteError, match=r"train step 12: other = "):
        guard.on_train_batch_end(1, {"loss": 1.0, "other": bad})


def test_weights_that_only_the_evaluation_finds_broken_stop_the_run_too():
    guard = callbacks.StopOnNonFinite("train")
    guard.on_train_batch_end(0, {"loss": 1.0})
    with pytest.raises(callbacks.NonFiniteError, match="train step 1: val_ema_cross_entropy"):
        guard.on_epoch_end(0, {"loss": 1.0, "val_ema_cross_entropy": float("nan")})


def test_steps_are_those_that_keras_names_not_its_calls():
    counter = callbacks.StepCallback(offset=100)
    seen = []
    for epoch in range(2):
        counter.on_epoch_begin(epoch)
        for last in (3, 7, 9):  # groups of four steps, the last one cut short
            counter.on_train_batch_end(last)
            seen.append(counter.step)
    assert seen == [104, 108, 110, 114, 118, 120]


@pytest.mark.parametrize(
    ("total", "averaged", "expected"),
    [
        (120, True, [("data", 50)]),
        (105, True, [("data", 50)]),
        (20, True, [("data", 20)]),
        (120, False, []),
    ],
)
def test_statistics_are_computed_anew_after_the_last_step_alone(total, averaged, expected):
    renewed = []
    model = types.SimpleNamespace(
        has_averaged_statistics=averaged,
        renew_statistics=lambda data, steps: renewed.append((data, steps)),
    )
    renewal = callbacks.RenewStatistics(lambda: "data", total, offset=total - 20)
    renewal.set_model(model)
    renewal.on_epoch_begin(0)
    for last in (3, 18):
        renewal.on_train_batch_end(last)
    assert not renewed
    renewal.on_train_batch_end(19)
    assert renewed == expected


class Recorder:
    """A MetricsLog and Checkpoints that remember what they were given."""

    def __init__(self):
        self.rows, self.saved = [], []

    def write(self, phase, step, values):
        self.rows.append((step, *sorted(values.items())))

    def save(self, step):
        self.saved.append(step)


@pytest.fixture
def model(linear):
    """A method of one dense layer, compiled with steps_per_execution."""

    def build(together=1):
        model = mpl_tf.Supervised(linear(3, 2))
        model.compile(keras.optimizers.SGD(0.1), steps_per_execution=together)
        return model

    return build


@pytest.fixture
def endless(rng):
    images = tf.constant(rng.normal(size=(40, 4, 3)))
    labels = tf.constant(rng.integers(2, size=(40, 4)))
    batches = {"labeled": images, "label": labels}
    return tf.data.Dataset.from_tensor_slices(batches).repeat()


@pytest.fixture
def validation(rng):
    return tf.data.Dataset.from_tensors((rng.normal(size=(4, 3)), rng.integers(2, size=4)))


@pytest.fixture
def clock(monkeypatch):
    """clock(readings): what the timer's clock shows from now on."""

    def show(readings):
        source = iter(readings)
        fake = types.SimpleNamespace(perf_counter=lambda: next(source))
        monkeypatch.setattr(callbacks, "time", fake)

    return show


def test_a_step_is_timed_by_itself(clock):
    """Tracing, and what stands between steps, is no part of the median."""
    clock([0, 9, 10, 12, 100, 103, 200, 204, 300, 305])  # begin, end, begin, end, ...
    timer = callbacks.StepTimer()
    assert timer.median() is None
    for number in range(5):
        timer.on_train_batch_begin(number)
        timer.on_train_batch_end(number)
    assert timer.seconds == [9, 2, 3, 4, 5] and timer.median() == 4


def test_steps_that_run_together_share_their_time(model, endless, clock):
    clock(range(0, 1000, 10))
    timer = callbacks.StepTimer()
    model(4).fit(endless, steps_per_epoch=8, callbacks=[timer], verbose=0)
    assert timer.seconds == [2.5, 2.5]


def test_rows_are_the_same_however_many_steps_run_together(model, endless, linear):
    written = []
    weights = model().student.get_weights()
    for together in (1, 2, 4):
        log, engine = Recorder(), model(together)
        engine.student.set_weights(weights)
        engine.fit(
            endless,
            steps_per_epoch=8,
            epochs=2,
            verbose=0,
            callbacks=[callbacks.LogMetrics(log, "train", every=4)],
        )
        written.append(log.rows)
    assert [row[0] for row in written[0]] == [4, 8, 12, 16]
    assert len({str(row) for row in written[0]}) == 4
    for rows in written[1:]:
        for row, expected in zip(rows, written[0], strict=True):
            assert row[0] == expected[0]
            np.testing.assert_allclose(
                dict(row[1:])["student_loss"], dict(expected[1:])["student_loss"]
            )


@pytest.mark.parametrize(
    ("every", "expected"),
    [(0, [5, 10]), (2, [2, 4, 6, 8, 10]), (4, [4, 8, 10]), (7, [7, 10]), (20, [10])],
)
def test_checkpoints_come_when_due_and_at_the_end(model, endless, validation, every, expected):
    recorder = Recorder()
    save = callbacks.SaveCheckpoint(recorder, "train", total=10, every=every)
    model().fit(
        endless,
        steps_per_epoch=5,
        epochs=2,
        verbose=0,
        validation_data=validation,
        callbacks=[save],
    )
    assert recorder.saved == expected


@pytest.mark.parametrize(
    ("when", "error"),
    [
        ("on_train_batch_end", Terminated),
        ("on_train_batch_end", KeyboardInterrupt),
        ("on_test_batch_end", Terminated),
        ("on_epoch_end", KeyboardInterrupt),
    ],
)
def test_a_request_to_stop_saves_after_the_step(model, endless, validation, when, error, messages):
    recorder, stop, evaluated = Recorder(), Stop(), []
    request = keras.callbacks.Callback()
    at = {"on_train_batch_end": 2, "on_test_batch_end": 0, "on_epoch_end": 0}[when]
    request.on_test_end = lambda logs=None: evaluated.append(1)
    setattr(request, when, lambda number, logs=None: number == at and setattr(stop, "error", error))
    save = callbacks.SaveCheckpoint(recorder, "train", total=99, every=50, offset=10, stop=stop)
    with pytest.raises(error):
        model().fit(
            endless,
            steps_per_epoch=5,
            epochs=2,
            verbose=0,
            validation_data=validation,
            callbacks=[request, save],
        )
    step = 13 if when == "on_train_batch_end" else 15
    assert recorder.saved == [step]
    assert bool(evaluated) == (when == "on_epoch_end")  # no evaluation is waited for
    assert f"train: asked to stop, saved after step {step}" in messages(logging.INFO)


def test_weights_that_are_no_numbers_are_not_saved(model, endless):
    recorder, engine = Recorder(), model()

    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                engine.student.weights[1].assign([np.nan, 0])

    save = callbacks.SaveCheckpoint(recorder, "train", total=10, every=2)
    with pytest.raises(callbacks.NonFiniteError, match=r"train step 4: weight .*bias"):
        engine.fit(endless, steps_per_epoch=10, verbose=0, callbacks=[Break(), save])
    assert recorder.saved == [2]


def test_a_row_goes_on_after_an_interruption(model, endless):
    straight = Recorder()
    first = model()
    weights = first.student.get_weights()
    log = callbacks.LogMetrics(straight, "train", every=6)
    first.fit(endless, steps_per_epoch=6, verbose=0, callbacks=[log])

    halves, second = Recorder(), model()
    second.student.set_weights(weights)
    log = callbacks.LogMetrics(halves, "train", every=6)
    second.fit(endless, steps_per_epoch=4, verbose=0, callbacks=[log])
    going_on = callbacks.ContinueWindow(second)
    log = callbacks.LogMetrics(halves, "train", every=6, offset=4)
    second.fit(endless.skip(4), steps_per_epoch=2, verbose=0, callbacks=[going_on, log])
    assert halves.rows == straight.rows


def test_callbacks_of_keras_can_be_added(linear, endless, validation, tmp_path):
    """Those that docs/python.md names, on a method with two networks and two optimizers."""

    def build():
        model = mpl_tf.MetaPseudoLabels(linear(3, 2), linear(3, 2), feedback="none", uda_weight=0)
        model.compile(
            student_optimizer=keras.optimizers.SGD(0.1, 0.9),
            teacher_optimizer=keras.optimizers.SGD(0.1, 0.9),
        )
        return model

    data = endless.map(
        lambda batch: {**batch, "weak": batch["labeled"], "strong": batch["labeled"]}
    )
    theirs, steps, model = keras.callbacks, [], build()
    model.fit(
        data,
        steps_per_epoch=3,
        epochs=20,
        verbose=0,
        validation_data=validation,
        callbacks=[
            theirs.CSVLogger(str(tmp_path / "log.csv")),
            theirs.TensorBoard(str(tmp_path / "board")),
            theirs.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch)),
            theirs.TerminateOnNaN(),
            theirs.ModelCheckpoint(str(tmp_path / "all.weights.h5"), save_weights_only=True),
            theirs.EarlyStopping("val_ema_accuracy", mode="max", patience=1, baseline=1.1),
        ],
    )
    assert steps == [0, 1, 2] * 2  # no accuracy exceeds the baseline: stopped after two epochs
    with open(tmp_path / "log.csv", newline="") as file:
        columns = next(csv.reader(file))
    assert {"student_loss", "teacher_loss", "val_ema_accuracy"} <= set(columns)
    assert {"train", "validation"} <= set(os.listdir(tmp_path / "board"))
    other = build()
    other.load_weights(str(tmp_path / "all.weights.h5"))
    for part in (lambda m: m, lambda m: m.student_optimizer, lambda m: m.teacher_optimizer):
        assert part(model).variables
        for a, b in zip(part(model).variables, part(other).variables, strict=True):
            if not any(b is v for metric in other.metrics for v in metric.variables):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["ReduceLROnPlateau", "LearningRateScheduler", "SwapEMAWeights"])
def test_callbacks_that_want_the_one_optimizer_say_so(model, endless, validation, name):
    arguments = {
        "ReduceLROnPlateau": {"monitor": "val_ema_cross_entropy", "mode": "min"},
        "LearningRateScheduler": {"schedule": lambda epoch, rate: rate},
        "SwapEMAWeights": {},
    }[name]
    callback = getattr(keras.callbacks, name)(**arguments)
    with pytest.raises((AttributeError, ValueError), match=r"learning_rate|use_ema"):
        model().fit(
            endless, steps_per_epoch=1, validation_data=validation, verbose=0, callbacks=[callback]
        )
