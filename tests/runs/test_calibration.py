"""Temperatures of a run's networks, and what is said of them."""

import json
import logging

import numpy as np
import pytest

import mpl_tf
from mpl_tf.data.arrays import arrays
from mpl_tf.options import ConfigError
from mpl_tf.runs import calibration, folder


def images(rng, count):
    return arrays(rng.integers(0, 256, (count, 4, 4, 1), np.uint8), np.arange(count) % 3)


@pytest.fixture
def networks():
    return {seed: mpl_tf.NETWORKS["mlp"](3, (4, 4, 1), seed=seed) for seed in (1, 2)}


def test_logits_are_those_of_each_network_in_the_order_of_the_images(networks, rng):
    some = images(rng, 10)
    for role, logits in calibration.logits(networks, some).items():
        expected = networks[role](np.stack(some.images).astype(np.float32), training=False)
        np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
    assert calibration.logits(networks, None)[1].shape == (0, 3)


def test_temperatures_are_fitted_on_validation_and_measured_on_test_images(rng):
    validation, labels = images(rng, 90), np.arange(60) % 3
    logits = {
        role: factor * (2 * np.eye(3)[validation.labels] + rng.normal(size=(90, 3)))
        for role, factor in (("ema", 1), ("teacher", 9))
    }
    of_test = {role: values[:60] for role, values in logits.items()}
    fitted = calibration.fit(logits, validation)
    assert fitted["images"] == 90
    ratio = fitted["temperatures"]["teacher"] / fitted["temperatures"]["ema"]
    assert 3 < ratio < 20
    result = calibration.measure(fitted, of_test, labels, held_out=True)
    assert json.loads(json.dumps(result)) == result
    assert result["error_after"]["teacher"] < result["error_before"]["teacher"]
    assert result["temperatures"] == fitted["temperatures"]
    words = calibration.text(result, "teacher")
    assert f"{result['error_before']['teacher']:.4f}, and" in words
    assert words.endswith("fitted on 90 validation images")
    result = calibration.measure(fitted, logits, validation.labels, held_out=False)
    assert "not held out" in calibration.text(result, "teacher")


def test_without_validation_images_it_is_1_and_said(rng, messages):
    result = calibration.fit({"ema": np.zeros([0, 3])}, None)
    assert result == {"temperatures": {"ema": 1.0}, "images": 0}
    assert "temperature of ema stays 1: there are no validation images" in messages(logging.INFO)
    result = calibration.measure(result, {"ema": np.eye(3)}, np.arange(3), held_out=True)
    assert result["error_before"] == result["error_after"]
    assert calibration.text(result, "ema").endswith("(temperature 1)")


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ({"calibration": {"temperatures": {"ema": 2.5}, "images": 3}}, 2.5),
        ({"calibration": {"temperatures": {"teacher": 2.5}, "images": 3}}, 1),
        ({"dataset": "digits"}, 1),  # older runs say nothing of it
        (None, 1),
    ],
)
def test_a_run_folder_says_the_temperature(results, expected, tmp_path):
    if results is not None:
        (tmp_path / folder.RESULTS).write_text(json.dumps(results))
    assert calibration.of_run(str(tmp_path), "ema") == expected


@pytest.mark.parametrize("temperature", [0, -1, "2", None])
def test_a_damaged_temperature_is_refused(temperature, tmp_path):
    content = {"calibration": {"temperatures": {"ema": temperature}, "images": 3}}
    (tmp_path / folder.RESULTS).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"results\.json is damaged.* Remove it, and the command"):
        calibration.of_run(str(tmp_path), "ema")
