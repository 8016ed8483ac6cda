"""The exported model, loaded without this package's classes."""

import json
import os
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

import mpl_tf
from mpl_tf.images.example import serialize
from mpl_tf.options import ConfigError
from mpl_tf.serving import saved_model

NAMES = ["cat", "dog", "Äsche"]


@pytest.fixture(scope="module")
def network():
    network = mpl_tf.NETWORKS["small"](3, (8, 6, 3), seed=1)
    for weight in network.weights:  # batch statistics that matter
        weight.assign_add(0.01 * keras.random.uniform(weight.shape, seed=2))
    return network


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return saved_model.export(network, str(folder), NAMES, config={"steps": 3})


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(exported).signatures


def probabilities(network, images):
    if not len(images):  # Keras itself cannot call a network on nothing
        return np.zeros((0, 3))
    return tf.nn.softmax(network(images.astype(np.float32), training=False)).numpy()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_every_signature_answers_like_the_network_for_any_batch(network, loaded, count, rng):
    images = rng.integers(0, 256, (count, 8, 6, 3)).astype(np.uint8)
    files = [tf.io.encode_png(image).numpy() for image in images]
    expected = probabilities(network, images)
    names = np.array(NAMES, object)
    for out in (
        loaded["serving_default"](images=tf.constant(images)),
        loaded["serving_bytes"](image_bytes=tf.constant(files, tf.string)),
    ):
        np.testing.assert_allclose(out["probabilities"], expected, atol=1e-6)
        assert out["class_ids"].dtype == tf.int64
        labels = [label.decode() for label in out["labels"].numpy()]
        assert labels == list(names[np.argmax(expected, axis=1)])
    out = loaded["classify"](inputs=tf.constant([example(file) for file in files], tf.string))
    np.testing.assert_allclose(out["scores"], expected, atol=1e-6)
    assert out["classes"].shape == (count, 3)
    for row in out["classes"].numpy():
        assert [name.decode() for name in row] == NAMES


def example(file, name="image/encoded"):
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[file]))
    return tf.train.Example(features=tf.train.Features(feature={name: feature})).SerializeToString()


def test_it_takes_uint8_only(loaded):
    (spec,) = loaded["serving_default"].structured_input_signature[1].values()
    assert (spec.dtype, spec.shape.as_list()) == (tf.uint8, [None, 8, 6, 3])


def test_classify_has_the_method_name_that_tensorflow_serving_asks_for(exported):
    with open(os.path.join(exported, "saved_model.pb"), "rb") as file:
        content = file.read()
    (meta,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    methods = {name: s.method_name for name, s in meta.signature_def.items() if name[0] != "_"}
    assert methods == {
        "serving_default": "tensorflow/serving/predict",
        "serving_bytes": "tensorflow/serving/predict",
        "classify": "tensorflow/serving/classify",
    }
    classify = meta.signature_def["classify"]
    assert set(classify.inputs) == {"inputs"} and set(classify.outputs) == {"classes", "scores"}


def test_examples_of_tfrecord_files_are_classified_as_they_are(loaded, rng):
    image = rng.integers(0, 256, (8, 6, 3)).astype(np.uint8)
    file = tf.io.encode_png(image).numpy()
    ours = loaded["classify"](inputs=tf.constant([serialize(file, 2)]))
    named = loaded["classify"](inputs=tf.constant([example(file)]))
    np.testing.assert_array_equal(ours["scores"], named["scores"])


def test_bfloat16_halves_the_weights_and_keeps_the_answer(network, exported, tmp_path, rng):
    narrow = saved_model.export(network, str(tmp_path), NAMES, bfloat16=True)

    def size(path):
        return os.path.getsize(os.path.join(path, "variables", "variables.data-00000-of-00001"))

    images = rng.integers(0, 256, (5, 8, 6, 3)).astype(np.uint8)
    answers = tf.saved_model.load(narrow).signatures["serving_default"](images=images)
    difference = abs(answers["probabilities"] - probabilities(network, images)).numpy().max()
    assert 0 < difference < 0.01
    assert size(narrow) < 0.55 * size(exported)
    assert saved_model.read_asset(narrow, saved_model.ABOUT)["weights"] == "bfloat16"


def test_assets_say_what_it_is(exported):
    assert saved_model.read_asset(exported, saved_model.CLASS_NAMES) == NAMES
    assert saved_model.read_asset(exported, saved_model.CONFIG) == {"steps": 3}
    about = saved_model.read_asset(exported, saved_model.ABOUT)
    assert about == {"image_shape": [8, 6, 3], "weights": "float32", "calibration_temperature": 1.0}
    with pytest.raises(ConfigError, match=r"more\.json cannot be read"):
        saved_model.read_asset(exported, "more.json")


def test_warm_up_asks_every_signature_what_it_can_answer(exported, loaded):
    path = os.path.join(exported, "assets.extra", "tf_serving_warmup_requests")
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(path)
    ]
    assert len(logs) == 3
    for log, name in zip(logs[:2], ("serving_default", "serving_bytes"), strict=True):
        request = log.predict_log.request
        assert request.model_spec.signature_name == name
        inputs = {key: tf.constant(tf.make_ndarray(p)) for key, p in request.inputs.items()}
        assert loaded[name](**inputs)["probabilities"].shape == (1, 3)
    request = logs[2].classify_log.request
    assert request.model_spec.signature_name == "classify"
    examples = [e.SerializeToString() for e in request.input.example_list.examples]
    assert loaded["classify"](inputs=tf.constant(examples))["scores"].shape == (1, 3)


def test_versions_count_up_and_never_collide(network, tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(saved_model.export(network, str(tmp_path))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(os.path.basename, paths)) == ["8", "9"]
    assert sorted(os.listdir(tmp_path)) == ["7", "8", "9", "notes"]
    assert saved_model.find(str(tmp_path)) == str(tmp_path / "9")
    assert saved_model.find(str(tmp_path / "8")) == str(tmp_path / "8")


def test_a_version_that_someone_else_just_took_is_passed_over(network, tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    listed = iter([[], [1]])  # the first look was a moment too early
    monkeypatch.setattr(saved_model, "versions", lambda folder: next(listed))
    assert saved_model.export(network, str(tmp_path)) == str(tmp_path / "2")
    assert os.listdir(tmp_path / "1") == ["saved_model.pb"]


def test_a_failed_export_leaves_nothing(network, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="3 different names; received 2"):
        saved_model.export(network, str(tmp_path / "never"), ["a", "b"])
    with pytest.raises(ValueError, match="2 of them different"):
        saved_model.export(network, str(tmp_path / "never"), ["a", "b", "a"])

    def fail(*_):
        assert [name[0] for name in os.listdir(tmp_path / "m")] == ["."]  # hidden meanwhile
        raise OSError("disk full")

    monkeypatch.setattr(saved_model, "_write_warm_up", fail)
    with pytest.raises(OSError, match="disk full"):
        saved_model.export(network, str(tmp_path / "m"))
    assert os.listdir(tmp_path) == ["m"] and not os.listdir(tmp_path / "m")


@pytest.mark.parametrize(
    "names", [{0: "a", 1: "b", 2: "c"}, {"c": 2, "a": 0, "b": 1}, {"a", "b", "c"}, "abc"]
)
def test_class_names_without_an_order_are_refused(network, tmp_path, names):
    with pytest.raises(ConfigError, match="must be a list, one a class in the order"):
        saved_model.export(network, str(tmp_path / "model"), names)


def test_a_network_that_has_diverged_is_not_exported(tmp_path):
    network = mpl_tf.NETWORKS["mlp"](3, (4, 4, 1))
    network.weights[0].assign(network.weights[0] * np.nan)
    with pytest.raises(ConfigError, match="holds NaN or infinite values: training has diverged"):
        saved_model.export(network, str(tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def test_what_is_no_export_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "1", tmp_path / "none"):
        with pytest.raises(ConfigError, match="must be an export"):
            saved_model.find(str(path))
    (tmp_path / "1").mkdir()
    with pytest.raises(ConfigError, match="must be an export"):
        saved_model.find(str(tmp_path))


def test_images_that_no_file_holds_are_served_as_arrays_alone(tmp_path):
    network = mpl_tf.NETWORKS["mlp"](3, (4, 4, 2))
    path = saved_model.export(network, str(tmp_path))
    assert list(tf.saved_model.load(path).signatures) == ["serving_default"]


def test_no_path_of_this_machine_is_written(exported, tmp_path):
    for root, _, files in os.walk(exported):
        for name in files:
            with open(os.path.join(root, name), "rb") as file:
                content = file.read()
            for word in (os.path.dirname(mpl_tf.__file__), str(tmp_path.parent), "/tmp/"):
                assert word.encode() not in content, name


def test_methods_choose_the_network(tmp_path):
    student = mpl_tf.NETWORKS["mlp"](2, (4, 4, 1), seed=1)
    method = mpl_tf.Supervised(student, ema_decay=0.5)
    with pytest.raises(ValueError, match="one of student, ema; received teacher"):
        method.export(str(tmp_path), which="teacher")
    path = method.export(str(tmp_path), ["a", "b"], which="student")
    assert path == str(tmp_path / "1")
    assert saved_model.read_asset(path, saved_model.ABOUT)["network"] == "student"
    config = saved_model.read_asset(path, saved_model.CONFIG)
    assert (config["method"], config["ema_decay"]) == ("supervised", 0.5)
    assert json.dumps(config)
