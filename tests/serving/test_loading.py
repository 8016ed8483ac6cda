"""Exports that are damaged, or of another program, are refused in words."""

import json
import os
import random
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.options import ConfigError
from mpl_tf.serving import loading, saved_model

ABOUT = {"image_shape": [4, 4, 1]}
DATA, INDEX = "variables/variables.data-00000-of-00001", "variables/variables.index"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    network = mpl_tf.NETWORKS["mlp"](3, (4, 4, 1), seed=1)
    return saved_model.export(network, str(tmp_path_factory.mktemp("model")), ["a", "b", "c"])


@pytest.fixture
def copy(exported, tmp_path):
    """An export that a test may damage: pathlib.Path."""
    return shutil.copytree(exported, tmp_path / "1")


def test_an_export_says_its_classes_and_images(exported):
    for path in (exported, os.path.dirname(exported)):
        export = loading.load(path)
        assert export.path == exported
        assert (export.class_names, export.image_shape) == (("a", "b", "c"), (4, 4, 1))
        answers = export.signatures["serving_default"](images=tf.zeros([2, 4, 4, 1], tf.uint8))
        assert answers["probabilities"].shape == (2, 3)


def flip(path, seed):
    """Changes three bits."""
    content, generator = bytearray(path.read_bytes()), random.Random(seed)
    for _ in range(3):
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    path.write_bytes(content)


def overwrite(path, seed):
    """Makes nonsense of the beginning."""
    path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:])


def cut(path, seed):
    os.truncate(path, path.stat().st_size // 2)


def empty(path, seed):
    os.truncate(path, 0)


def remove(path, seed):
    path.unlink()


def pipe(path, seed):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [flip, cut, empty, remove, pipe])
@pytest.mark.parametrize("name", [DATA, INDEX, "assets/class_names.json", "assets/about.json"])
def test_what_is_not_as_it_was_written_is_named(copy, name, damage):
    damage(copy / name, 0)
    words = {remove: "cannot be read: No such file", pipe: "is a pipe"}.get(damage, "is damaged")
    message = f"{copy} is not as it was exported: {name} {words}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        loading.load(str(copy))


@pytest.mark.parametrize(
    ("name", "damage", "seed"),
    [
        *((name, damage, 0) for name in ("saved_model.pb", DATA, INDEX) for damage in (cut, empty)),
        ("saved_model.pb", overwrite, 0),  # it has no checksum: not every bit is missed
        *((name, flip, seed) for name in (DATA, INDEX) for seed in range(8)),
    ],
)
def test_without_digests_tensorflow_finds_the_damage(copy, name, damage, seed):
    (copy / saved_model.DIGESTS).unlink()
    damage(copy / name, seed)
    with pytest.raises(ConfigError) as refusal:
        loading.load(str(copy))
    message = str(refusal.value)
    assert message.startswith(f"{copy} cannot be loaded (")
    assert message.endswith("Copy it again, or export it again.")
    assert "\n" not in message and "device" not in message


def test_requests_for_warm_up_may_be_removed(copy):
    (copy / "assets.extra" / "tf_serving_warmup_requests").unlink()
    (copy / "fingerprint.pb").unlink()
    (copy / "notes.txt").write_text("ours")
    assert loading.load(str(copy)).class_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (saved_model.CLASS_NAMES, "{", "class_names.json cannot be read: Expecting property name"),
        (saved_model.CLASS_NAMES, {}, "content must be a list; received {}"),
        (saved_model.CLASS_NAMES, ["a", 2, "c"], "content[1] must be a string; received 2"),
        (saved_model.CLASS_NAMES, ["a", "b"], "must hold 3 different names, one a class; received"),
        (saved_model.CLASS_NAMES, ["a", "b", "a"], "must hold 3 different names, one a class"),
        (saved_model.ABOUT, {}, "content.image_shape is missing"),
        (saved_model.ABOUT, {"image_shape": 4}, "image_shape must be a list; received 4"),
        (saved_model.ABOUT, {"image_shape": [4, 4]}, "image_shape must be a list of 3; received 2"),
        (saved_model.ABOUT, {"image_shape": [8, 4, 1]}, "takes images of (4, 4, 1), and its about"),
        (
            saved_model.ABOUT,
            ABOUT | {"calibration_temperature": "2"},
            "temperature must be a number; received",
        ),
        (
            saved_model.ABOUT,
            ABOUT | {"calibration_temperature": 0},
            "finite number greater than 0; received 0",
        ),
    ],
)
def test_assets_of_another_form_are_refused(copy, name, content, message):
    (copy / saved_model.DIGESTS).unlink()
    text = content if isinstance(content, str) else json.dumps(content)
    (copy / "assets" / name).write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)):
        loading.load(str(copy))


def test_an_export_that_says_no_temperature_has_1(copy):
    (copy / saved_model.DIGESTS).unlink()
    (copy / "assets" / saved_model.ABOUT).write_text(json.dumps(ABOUT))
    assert loading.load(str(copy)).calibration_temperature == 1


def test_a_savedmodel_of_another_program_is_refused(exported, tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([None, 4, 4, 1], tf.uint8, name="images")
    module.serve = tf.function(lambda images: {"scores": images}, input_signature=[spec])
    for signatures, words in (({"serving_default": module.serve}, "scores"), ({}, "nothing")):
        path = str(tmp_path / words)
        tf.saved_model.save(module, path, signatures)
        with pytest.raises(ConfigError, match=r"Is .* an export of mpl_tf"):
            loading.load(path)
        shutil.copytree(os.path.join(exported, "assets"), path + "/assets", dirs_exist_ok=True)
        with pytest.raises(ConfigError, match=rf"no export of mpl_tf: .* gives {words}, and no"):
            loading.load(path)


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        (np.array(["a", "b"]), ["a", "b"]),
        (np.arange(2), ["0", "1"]),
        ((7, "b"), ["7", "b"]),
        (["a", b"b"], "must be texts or whole numbers; received b'b'"),
        ([True, False], "must be texts or whole numbers; received True"),
        ([0.5, 1.5], "must be texts or whole numbers; received 0.5"),
        ([["a"], "b"], r"must be texts or whole numbers; received \['a'\]"),
        ("ab", "must be a list, one a class in the order of the class ids; received 'ab'"),
    ],
)
def test_names_of_classes_are_texts_or_numbers(names, texts):
    if isinstance(texts, list):
        assert saved_model.as_texts(names) == texts
        assert {type(name) for name in saved_model.as_texts(names)} == {str}
    else:
        with pytest.raises(ConfigError, match=texts):
            saved_model.as_texts(names)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b"], "3 different names; received 2, 2 of them"),
        (["a", "b", "a"], "3 different names; received 3, 2 of them"),
        (["a", "b", "\udcff"], r"UTF-8; received '\\udcff'"),
    ],
)
def test_class_names_that_cannot_be_exported_are_refused(names, message):
    with pytest.raises(ConfigError, match=message):
        saved_model.check_class_names(names, 3)
