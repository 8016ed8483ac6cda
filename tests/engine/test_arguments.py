"""What compile, fit, evaluate, predict and save refuse, and what they say."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf

SHAPE, K = (4, 4, 1), 3
IMAGES = np.random.default_rng(0).integers(0, 256, (12, *SHAPE)).astype(np.uint8)
LABELS = np.arange(12) % K
ONE_HOT = np.eye(K)[LABELS]


def batches(*parts):
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0]).batch(5)


@pytest.fixture(scope="module")
def method():
    model = mpl_tf.FixMatch(mpl_tf.NETWORKS["mlp"](K, SHAPE, seed=1))
    model.compile("sgd")
    return model


@pytest.fixture(scope="module")
def data():
    return mpl_tf.data.pair(
        (IMAGES, LABELS),
        labeled_batch=3,
        unlabeled_ratio=2,
        method=mpl_tf.FixMatch,
        weak=None,
        strong=None,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"learning_rate": 0.1},
            r"no use for learning_rate: the optimizer has it, as in keras.opt",
        ),
        ({"loss": "mse"}, "a method has its own loss"),
        ({"metrics": ["accuracy"], "loss": "mse"}, "a method has its own loss"),
        ({"auto_scale_loss": True}, "beside optimizers it takes weight_decay, clip_norm, backbone"),
        ({"weight_decay": "a"}, "weight_decay must be a number of at least 0; received 'a'"),
        ({"weight_decay": None}, "weight_decay must be a number of at least 0; received None"),
        ({"clip_norm": "1"}, "clip_norm must be a number greater than 0, or None; received '1'"),
        ({"clip_norm": 0}, "clip_norm must be a number greater than 0, or None; received 0"),
        ({"jit_compile": "auto"}, "jit_compile must be True or False; received 'auto'"),
        ({"run_eagerly": 1}, "run_eagerly must be True or False; received 1"),
        ({"steps_per_execution": 2.5}, "must be a whole number of at least 1; received 2.5"),
        ({"accumulate_steps": 0}, "must be a whole number of at least 1; received 0"),
    ],
)
def test_compile_refuses(arguments, message):
    model = mpl_tf.FixMatch(mpl_tf.NETWORKS["mlp"](K, SHAPE))
    with pytest.raises(ValueError, match=message):
        model.compile("sgd", **arguments)


@pytest.mark.parametrize(
    ("positional", "arguments", "message"),
    [
        (
            [LABELS],
            {},
            "FixMatch.fit has no use for y: the data holds images and labels: mpl_tf.data",
        ),
        ([], {"y": LABELS}, "no use for y"),
        ([], {"class_weight": {0: 1.0}}, r"constructor: FixMatch\(..., class_weight=\{0: 1.0"),
        ([], {"sample_weight": np.ones(3)}, "no use for sample_weight: class_weight of"),
        ([], {"batch_size": 3}, "no use for batch_size: the data comes in batches"),
        ([], {"validation_split": 0.1}, r"validation_data=\(images, labels\)"),
        ([], {"steps_per_epoch": None}, "fit needs steps_per_epoch"),
        ([], {"steps_per_epoch": 0}, "whole number of at least 1.* received 0"),
        ([], {"steps_per_epoch": "3"}, "whole number of at least 1.* received '3'"),
        ([], {"steps_per_epoch": 2.0}, "whole number of at least 1.* received 2.0"),
        ([], {"validation_data": (IMAGES, ONE_HOT)}, "as one-hot labels have. tf.argmax"),
        ([], {"validation_data": (IMAGES, LABELS + 1)}, "validation_data received 3. Leave"),
        ([], {"validation_data": batches(IMAGES)}, r"batches \(images, label\); received"),
    ],
)
def test_fit_refuses(method, data, positional, arguments, message):
    with pytest.raises(ValueError, match=message):
        method.fit(data, *positional, **{"steps_per_epoch": 1, "verbose": 0} | arguments)


EVALUATE = [
    ((IMAGES,), "evaluate needs labels beside images, as in evaluate.images, labels."),
    ((IMAGES, ONE_HOT), r"received shape \(12, 3\), as one-hot labels have"),
    ((IMAGES, LABELS - 1), "whole numbers from 0 to 2.* received -1. Leave images without a label"),
    ((IMAGES, LABELS + 0.5), "whole numbers from 0 to 2.* received 0.5"),
    ((IMAGES[:, :2], LABELS), r"takes images \[N, 4, 4, 1\], as student does; received .*2, 4, 1"),
    ((IMAGES[0], LABELS[:1]), r"takes images \[N, 4, 4, 1\]"),
    ((batches(IMAGES),), r"takes a tf.data.Dataset of batches \(images, label\)"),
    ((batches(IMAGES, ONE_HOT),), "as one-hot labels have"),
    ((batches(IMAGES, LABELS + 7),), "evaluate received 7"),
    ((batches(IMAGES, LABELS).unbatch(),), r"takes images \[N, 4, 4, 1\]"),
]


@pytest.mark.parametrize(("arguments", "message"), EVALUATE)
def test_evaluate_refuses(method, arguments, message):
    with pytest.raises(ValueError, match=message):
        method.evaluate(*arguments, verbose=0)


def test_evaluate_takes_labels_in_their_usual_forms(method):
    expected = method.evaluate(IMAGES, LABELS, verbose=0)
    zero_weights = np.where(LABELS > 5, 0.0, 1.0)
    for arguments in (
        (IMAGES, LABELS[:, None]),
        (IMAGES, LABELS.astype(float)),
        (batches(IMAGES, LABELS),),
        (batches(IMAGES, LABELS, zero_weights),),
    ):
        np.testing.assert_allclose(method.evaluate(*arguments, verbose=0), expected, rtol=1e-5)


def test_rows_of_weight_0_do_not_count(method):
    label = LABELS.copy()
    label[3:5] = 0
    weight = np.ones(12, np.float32)
    weight[3:5] = 0
    full = method.evaluate(batches(IMAGES, label, weight), verbose=0)
    rest = weight > 0
    np.testing.assert_allclose(
        full, method.evaluate(IMAGES[rest], LABELS[rest], verbose=0), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            IMAGES[0],
            r"predict takes images \[N, 4, 4, 1\], as ema does; received shape \(4, 4, 1\)",
        ),
        (IMAGES[:, :2], r"predict takes images \[N, 4, 4, 1\]"),
        (batches(IMAGES).unbatch(), r"predict takes images \[N, 4, 4, 1\]"),
    ],
)
def test_predict_refuses(method, data, images, message):
    with pytest.raises(ValueError, match=message):
        method.predict(images, verbose=0)
    with pytest.raises(ValueError, match=r"predict takes images.* received batches with labeled"):
        method.predict(data, steps=1)


def test_predict_takes_images_and_batches_of_them(method):
    expected = method.predict(IMAGES, verbose=0)
    for images in (IMAGES.astype(np.float32), batches(IMAGES), tf.constant(IMAGES)):
        np.testing.assert_allclose(method.predict(images, verbose=0), expected, rtol=1e-5)


def warnings_in(caplog):
    return [record.message for record in caplog.records if "mpl_tf" in record.name]


@pytest.fixture(scope="module")
def learned_bytes(data):
    """A method that was trained on images of values from 0 to 255."""
    model = mpl_tf.Supervised(mpl_tf.NETWORKS["mlp"](K, SHAPE, seed=1))
    model.compile("sgd")
    model.predict(IMAGES / 255.0, verbose=0)  # nothing is known yet
    model.fit(data, steps_per_epoch=1, verbose=0)
    return model


@pytest.mark.parametrize(
    ("caller", "call"),
    [
        ("predict", lambda model, data, x: model.predict(x)),
        ("predict", lambda model, data, x: model.predict(batches(x))),
        ("evaluate", lambda model, data, x: model.evaluate(x, LABELS)),
        ("evaluate", lambda model, data, x: model.evaluate(batches(x, LABELS))),
        ("fit_temperature", lambda model, data, x: model.fit_temperature(x, LABELS)),
        (
            "validation_data",
            lambda model, data, x: model.fit(
                data, steps_per_epoch=1, validation_data=(x, LABELS), verbose=0
            ),
        ),
    ],
)
@pytest.mark.parametrize(
    ("scale", "offset", "message"),
    [
        (255.0, 0, r"fractions from 0\S* to \S+; the .* images \* 255\.0\."),
        (127.5, -1, r"fractions from -\S+ to .* \(images \+ 1\.0\) \* 127\.5\."),
    ],
    ids=["0 to 1", "-1 to 1"],
)
def test_images_that_were_scaled_are_refused_by_what_has_learned_bytes(
    learned_bytes, data, caller, call, scale, offset, message
):
    images = (IMAGES / scale + offset).astype(np.float32)
    with pytest.raises(ValueError, match=f"^{caller} received images of {message}"):
        call(learned_bytes, data, images)


@pytest.mark.parametrize(
    ("images", "warned"),
    [
        (IMAGES.astype(float), False),
        (batches(IMAGES), False),
        ((IMAGES - 128.0) / 64, True),
        (IMAGES.astype(np.uint16) * 257, True),
        ((IMAGES > 127).astype(np.uint8), True),
        ((IMAGES > 127).astype(np.float32), True),
        (IMAGES > 127, True),
    ],
    ids=["floats", "dataset", "standardised", "uint16", "0 and 1", "0.0 and 1.0", "booleans"],
)
def test_images_of_other_ranges_are_warned_of(learned_bytes, images, warned, caplog):
    learned_bytes.predict(images, verbose=0)
    assert ["trained on values from 0 to 255" in m for m in warnings_in(caplog)] == [True] * warned


@pytest.mark.parametrize(("scale", "warned"), [(1 / 255, True), (1.0, False)])
def test_an_export_says_that_it_gives_values_up_to_255(scale, warned, tmp_path, caplog):
    images = (IMAGES * scale).astype(np.float32)
    batch = {"labeled": images, "label": LABELS, "weak": images, "strong": images}
    model = mpl_tf.FixMatch(mpl_tf.NETWORKS["mlp"](K, SHAPE, seed=1))
    model.compile("sgd")
    model.fit(tf.data.Dataset.from_tensors(batch).repeat(), steps_per_epoch=1, verbose=0)
    model.export(str(tmp_path / "model"))
    assert [m for m in warnings_in(caplog) if "values from 0 to 255" in m] != [] or not warned
    assert warned or not warnings_in(caplog)


def test_numbers_of_numpy_are_hyperparameters(data, tmp_path):
    model = mpl_tf.Supervised(
        mpl_tf.NETWORKS["mlp"](K, SHAPE), label_smoothing=np.float32(0.5), ema_decay=np.float64(0.5)
    )
    model.compile("sgd")
    model.fit(data, steps_per_epoch=1, verbose=0)
    assert model.export(str(tmp_path / "model"))
    assert type(model.config.label_smoothing) is float


def test_saving_says_what_is_saved_and_how(method, tmp_path):
    for save in (
        lambda: method.save(tmp_path / "model.keras"),
        lambda: keras.models.clone_model(method),
        method.get_config,
    ):
        with pytest.raises(
            NotImplementedError, match=r"export\(folder\) writes what serves, save_w"
        ):
            save()
    assert not (tmp_path / "model.keras").exists()
