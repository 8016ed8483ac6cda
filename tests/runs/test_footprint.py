"""Runs that memory cannot hold are refused before anything of their size is made."""

import keras
import pytest

import mpl_tf
from mpl_tf import config
from mpl_tf.images import memory
from mpl_tf.networks.sizes import values_of_layers
from mpl_tf.options import ConfigError
from mpl_tf.runs import building, footprint

# Of supervised learning: 20 images a step.
SETTINGS = {"method": "supervised", "num_labeled": 20, "labeled_batch": 20, "network": "mlp"}


@pytest.fixture
def there(monkeypatch):
    """there(number): from now on so many bytes of memory are available."""
    return lambda number: monkeypatch.setattr(memory, "available", lambda: number)


def test_the_images_of_a_step_must_fit(there):
    settings = config.make(SETTINGS)
    there(20 * 8 * 8)
    footprint.check_images(settings, (8, 8, 1))
    text = "a step of 20 images of 100000x100000x3 needs at least 558.8 GiB .* 0.0 are there"
    with pytest.raises(ConfigError, match=text):
        footprint.check_images(settings, (100_000, 100_000, 3))
    views = config.make(SETTINGS | {"method": "uda", "labeled_batch": 4, "unlabeled_ratio": 2})
    there(4 * (1 + 2 * 2) * 64 - 1)  # weak and strong
    with pytest.raises(ConfigError, match="20 images"):
        footprint.check_images(views, (8, 8, 1))


def test_the_places_of_images_are_no_images(there):
    made = config.make(SETTINGS | {"method": "flexmatch", "labeled_batch": 4, "unlabeled_ratio": 2})
    there(4 * (1 + 2 * 2) * 64)  # weak and strong; its third view is "index"
    footprint.check_images(made, (8, 8, 1))
    there(4 * (1 + 2 * 2) * 64 - 1)
    with pytest.raises(ConfigError, match="20 images"):
        footprint.check_images(made, (8, 8, 1))


def test_what_layers_give_must_fit(there):
    network = mpl_tf.NETWORKS["mlp"](10, (8, 8, 1))
    # input, scaled, flat; two layers and their activations; dropout; logits
    assert list(values_of_layers(network)) == [64] * 3 + [128] * 5 + [10]
    for more, size in (({}, 4), ({"precision": "bfloat16"}, 2), ({"accumulate_steps": 2}, 2)):
        settings = config.make(SETTINGS | more)
        there(842 * 20 * size // 4)
        footprint.check_layers(settings, network, (8, 8, 1))
        there(842 * 20 * size // 4 - 1)
        with pytest.raises(ConfigError, match="accumulate_steps"):
            footprint.check_layers(settings, network, (8, 8, 1))


def test_networks_in_networks_are_looked_into():
    inner = mpl_tf.NETWORKS["mlp"](10, (8, 8, 1))
    inputs = keras.Input((8, 8, 1))
    outer = keras.Model(inputs, inner(inputs))
    assert sum(values_of_layers(outer)) == 64 + 842


def test_memory_is_what_the_container_leaves(tmp_path, monkeypatch):
    (tmp_path / "max").write_text("5000\n")
    (tmp_path / "current").write_text("2000\n")
    monkeypatch.setattr(memory, "_GROUPS", ())
    assert memory.available() > 1 << 20
    groups = [(str(tmp_path / "max"), str(tmp_path / "current"))]
    monkeypatch.setattr(memory, "_GROUPS", groups)
    assert memory.available() == 3000
    (tmp_path / "max").write_text("max\n")
    assert memory.available() > 1 << 20


def test_a_network_is_refused_before_its_weights_are_made(there):
    there(3 * 4 * (192 * 128 + 128 + 128 * 128 + 128))
    made = config.make(SETTINGS | {"network": "mlp"})
    with pytest.raises(ConfigError, match=r"network=mlp has more than 41,218 weights; .* 0.0 GiB"):
        building.build_method(made, 10, (8, 8, 3), 0)
    there(2**28)
    made = config.make(SETTINGS | {"network": "resnet_14x64"})
    text = r"network=resnet_14x64 has more than [\d,]+ weights; .* GiB .* 0.2 are there"
    with pytest.raises(ConfigError, match=text):
        building.build_method(made, 10, (8, 8, 3), 0)


def test_weights_that_fit_are_those_of_the_seed(there):
    there(2**34)
    made = config.make(SETTINGS | {"network": "mlp"})
    method, _ = building.build_method(made, 10, (8, 8, 3), 0)
    free = building.network(made, 10, (8, 8, 3), "student")
    for one, other in zip(method.student.weights, free.weights, strict=True):
        assert (one.numpy() == other.numpy()).all()
