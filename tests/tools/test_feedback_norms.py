"""tools/feedback_norms.py: gradients apart, medians, table and picture."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf

RATE, MOMENTUM, SMOOTHING, UDA_WEIGHT, TEMPERATURE = 0.3, 0.9, 0.1, 3.0, 0.7


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("feedback_norms")


@pytest.fixture
def train(linear, random_batch, endless, rng, tool):
    """train(form, steps, watched, **changes): (method, norms of steps, batch, first weights)."""
    batch = random_batch((5,))
    start = [[rng.normal(size=w.shape) for w in linear(5, 3).weights] for _ in range(2)]

    def fit(form, steps=1, watched=True, **changes):
        options = {
            "feedback": form,
            "uda_weight": UDA_WEIGHT,
            "uda_temperature": TEMPERATURE,
            "uda_threshold": 0.0,
            "uda_ramp_steps": 0,
            "label_smoothing": SMOOTHING,
        }
        method = mpl_tf.MetaPseudoLabels(linear(5, 3), linear(5, 3), **options | changes)
        method.compile(
            student_optimizer=keras.optimizers.SGD(RATE, momentum=MOMENTUM, nesterov=True),
            teacher_optimizer=keras.optimizers.SGD(RATE),
            run_eagerly=True,  # faster than compiling a few steps
        )
        method.teacher.set_weights(start[0])
        for network in (method.student, method.ema):
            network.set_weights(start[1])
        watching = [tool.Norms(method)] if watched else []
        method.fit(endless(batch), steps_per_epoch=steps, verbose=0, callbacks=watching)
        return method, np.array(watching[0].steps) if watched else None, batch, start

    return fit


def cross_entropy(q, logits):
    return -tf.reduce_mean(tf.reduce_sum(q * tf.nn.log_softmax(logits), axis=-1))


def test_the_norms_are_those_of_each_term_differentiated_alone(train):
    """The feedback's by a second derivative through the student's step."""
    _, norms, batch, (teacher, student) = train("exact")
    teacher, student = ([tf.constant(w) for w in weights] for weights in (teacher, student))

    def logits(name, weights):
        return batch[name] @ weights[0] + weights[1]

    known = np.eye(3)[batch["label"]]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(teacher)
        smooth = (1 - SMOOTHING) * known + SMOOTHING / 3
        supervised = cross_entropy(smooth, logits("labeled", teacher))
        target = tf.stop_gradient(tf.nn.softmax(logits("weak", teacher) / TEMPERATURE))
        strong = logits("strong", teacher)
        uda = UDA_WEIGHT * cross_entropy(target, strong)
        taught = (1 - SMOOTHING) * tf.nn.softmax(strong) + SMOOTHING / 3
        with tf.GradientTape() as inner:
            inner.watch(student)
            lesson = cross_entropy(taught, logits("strong", student))
        gradient = inner.gradient(lesson, student)
        step = RATE * (1 + MOMENTUM)  # of the first step, with Nesterov
        moved = [w - step * g for w, g in zip(student, gradient, strict=True)]
        after = cross_entropy(known, logits("labeled", moved))
    expected = [
        float(tf.linalg.global_norm(tape.gradient(term, teacher)))
        for term in (supervised, uda, after)
    ]
    np.testing.assert_allclose(norms[0], [*expected, expected[-1] / step], rtol=1e-5)


@pytest.mark.parametrize("form", ["exact", "dot", "sampled"])
def test_divided_by_the_first_step_it_is_that_of_the_scale_unit(form, train):
    _, of_step, _, _ = train(form)
    _, of_unit, _, _ = train(form, feedback_scale="unit")
    assert of_unit[0, 2] != pytest.approx(of_step[0, 2], rel=0.1)
    assert of_unit[0, 2] == pytest.approx(of_step[0, 3], rel=1e-5)


def test_a_run_that_is_measured_trains_like_one_that_is_not(train):
    watched, norms, _, _ = train("exact", steps=3)
    alone, _, _, _ = train("exact", steps=3, watched=False)
    assert norms.shape == (3, 4) and np.all(norms[1:] != norms[:-1])
    for role, network in watched.networks.items():
        for a, b in zip(network.get_weights(), alone.networks[role].get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_rows_are_medians_of_equal_parts(tool):
    of_step = np.arange(1, 81)[:, None] * [1.0, 10.0, 0.0, 0.1]
    of_step[0] = 1000  # which no median shows
    rows = tool.norms_results.rows("digits", "dot", np.repeat(of_step, 2, axis=0)[:120])
    assert [row["step"] for row in rows] == list(range(3, 121, 3))
    assert rows[0]["supervised"] == 1000 and rows[1]["supervised"] == 3
    assert rows[1] == {
        "run": "digits",
        "form": "dot",
        "step": 6,
        "supervised": 3.0,
        "uda": 30.0,
        "feedback": 0.0,
        "unit_feedback": 0.1 * 3,
    }
    few = tool.norms_results.rows("digits", "dot", of_step[:3])
    assert [row["step"] for row in few] == [1, 2, 3]


def test_main_writes_the_files_and_draws_several(tool, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tool, "FORMS", ("dot",))
    small = "network=mlp,labeled_batch=4,unlabeled_ratio=2,student_wait_steps=2,steps=10"
    assert tool.main([f"--flags={small}", f"--out={tmp_path / 'a'}"]) == 0
    said = capsys.readouterr().out
    assert "[1/1] dot, 10 steps" in said and (tmp_path / "a" / "norms.md").read_text() in said
    with open(tmp_path / "a" / "norms.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == [str(step) for step in range(1, 11)]
    assert {row["run"] for row in rows} == {"digits, 50 labels, mlp"}
    without_feedback = [float(row["feedback"]) == 0 for row in rows]
    assert without_feedback == [True] * 3 + [False] * 7  # it waits, and its rate rises from 0
    assert all(float(row["supervised"]) > 0 for row in rows)

    other = (tmp_path / "a" / "norms.csv").read_text().replace("digits,", "other,")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "norms.csv").write_text(other)
    folders = f"--draw={tmp_path / 'a'},{tmp_path / 'b'}"
    assert tool.main([folders, f"--out={tmp_path / 'both'}"]) == 0
    table = (tmp_path / "both" / "norms.md").read_text().splitlines()
    quarter = rows[2]  # step 3 of 10 is the first that is not before it
    names = tool.norms_results.TERMS
    cells = [f"{float(quarter[name]):.2g}, {float(rows[-1][name]):.2g}" for name in names]
    assert f"| digits, 50 labels, mlp | dot | {' | '.join(cells)} |" in table
    assert f"| other, 50 labels, mlp | dot | {' | '.join(cells)} |" in table
    png = (tmp_path / "both" / "norms.png").read_bytes()
    assert png[:4] == b"\x89PNG" and len(png) < 200_000

    assert tool.main([folders.replace("/b", "/a"), f"--out={tmp_path / 'both'}"]) == 2
    assert "hold a run called digits, 50 labels, mlp" in capsys.readouterr().err
    (tmp_path / "b" / "norms.csv").write_text(other.replace("step", "steps"))
    assert tool.main([folders, f"--out={tmp_path / 'both'}"]) == 2
    assert "norms.csv is damaged: it must have rows of the columns" in capsys.readouterr().err
