"""Presets of KerasHub, saved to a folder and loaded from it: preprocessing, sizes, refusals."""

import importlib.util

import keras
import numpy as np
import pytest

from mpl_tf.engine.user_networks import copy_network
from mpl_tf.networks import find, has_parts, is_pretrained, parts, set_trained
from mpl_tf.options import ConfigError

HAS_HUB = importlib.util.find_spec("keras_hub") is not None
needs_hub = pytest.mark.skipif(not HAS_HUB, reason="KerasHub is not installed ('.[hub]')")
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
TORCH = {"scale": (1 / (255 * STD)).tolist(), "offset": (-MEAN / STD).tolist()}
FAMILIES = {  # -> (arguments of a small backbone, how images are scaled)
    "ResNet": (
        {
            "input_conv_filters": [64],
            "input_conv_kernel_sizes": [7],
            "stackwise_num_filters": [64, 64],
            "stackwise_num_blocks": [1, 1],
            "stackwise_num_strides": [1, 2],
            "block_type": "basic_block",
            "image_shape": (None, None, 3),
        },
        TORCH,
    ),
    "EfficientNet": (
        {
            "stackwise_width_coefficients": [1.0] * 2,
            "stackwise_depth_coefficients": [1.0] * 2,
            "stackwise_squeeze_and_excite_ratios": [0.25] * 2,
            "stackwise_kernel_sizes": [3, 3],
            "stackwise_num_repeats": [1, 1],
            "stackwise_input_filters": [8, 8],
            "stackwise_output_filters": [8, 8],
            "stackwise_expansion_ratios": [1, 1],
            "stackwise_strides": [1, 2],
            "stackwise_block_types": ["v1", "v1"],
            "stackwise_force_input_filters": [0, 0],
            "stackwise_nores_option": [False, False],
            "dropout": 0.2,
            "include_stem_padding": True,
            "use_depth_divisor_as_min_depth": True,
            "cap_round_filter_decrease": True,
            "stem_conv_padding": "valid",
            "batch_norm_momentum": 0.9,
            "image_shape": (None, None, 3),
        },
        TORCH,
    ),
    "ViT": (
        {
            "image_shape": (16, 16, 3),
            "patch_size": 4,
            "num_layers": 2,
            "num_heads": 2,
            "hidden_dim": 8,
            "mlp_dim": 16,
        },
        {"scale": 1 / 127.5, "offset": -1.0},
    ),
    "DINOV2": (
        {
            "image_shape": (16, 16, 3),
            "patch_size": 4,
            "num_layers": 2,
            "hidden_dim": 8,
            "num_heads": 2,
            "intermediate_dim": 16,
        },
        TORCH,
    ),
}


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """presets(family): a folder with a small random preset, its backbone and image converter."""
    import keras_hub

    folder, made = tmp_path_factory.mktemp("presets"), {}

    def get(family):
        if family not in made:
            arguments, scaling = FAMILIES[family]
            keras.utils.set_random_seed(1)
            backbone = getattr(keras_hub.models, f"{family}Backbone")(**arguments)
            random = np.random.default_rng(1)
            for weight in backbone.weights:  # batch statistics, too, are not the initial ones
                weight.assign(weight + 0.1 * np.abs(random.normal(size=weight.shape)))
            layer = getattr(keras_hub.layers, f"{family}ImageConverter")
            converter = layer(image_size=(16, 16), **scaling)
            path = str(folder / family)
            backbone.save_to_preset(path)
            converter.save_to_preset(path)
            made[family] = path, backbone, converter
        return made[family]

    return get


def expected_features(backbone, converter, images):
    pixels = converter(images)
    inputs = {"images": pixels} if isinstance(backbone.input, dict) else pixels
    outputs = np.asarray(backbone(inputs))
    return outputs.mean((1, 2)) if outputs.ndim == 4 else outputs[:, 0]


@needs_hub
@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_those_of_the_preset_and_its_image_converter(
    family, presets, unit_length, rng
):
    path, backbone, converter = presets(family)
    images = rng.integers(0, 256, (3, 16, 16, 3)).astype(np.float32)
    network = find(f"hub:{path}")(5, (16, 16, 3), seed=1)
    assert has_parts(f"hub:{path}") and is_pretrained(f"hub:{path}", "")
    features = parts.backbone(network)(images)
    expected = unit_length(expected_features(backbone, converter, images))
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)
    assert np.ptp(expected) > 0


@needs_hub
def test_images_of_another_size_are_resized_as_the_image_converter_does(presets, unit_length, rng):
    path, backbone, converter = presets("ViT")
    images = rng.integers(0, 256, (3, 24, 24, 3)).astype(np.float32)
    features = parts.backbone(find(f"hub:{path}")(5, (24, 24, 3)))(images)
    expected = unit_length(expected_features(backbone, converter, images))
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)


@needs_hub
def test_position_embeddings_of_dinov2_are_interpolated_and_patches_must_fit(presets, rng):
    path, *_ = presets("DINOV2")
    network = find(f"hub:{path}")(5, (24, 24, 3))
    assert network(rng.uniform(0, 255, (2, 24, 24, 3)).astype(np.float32)).shape == (2, 5)
    with pytest.raises(ConfigError, match=r"patches of 4 pixels; .*18x18. The nearest.* 16 or 20"):
        find(f"hub:{path}")(5, (18, 18, 3))


@needs_hub
def test_lora_of_a_transformer_trains_what_it_wraps(presets, rng):
    path, *_ = presets("DINOV2")
    network = find(f"hub:{path}")(5, (16, 16, 3))
    set_trained(network, "lora_2", batch_norm=False)
    names = {v.name for v in parts.backbone(network).trainable_variables}
    assert names == {"lora_kernel_a", "lora_kernel_b"}


@needs_hub
def test_what_is_no_preset_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no folder"):
        find(f"hub:{tmp_path}/none")
    with pytest.raises(ConfigError, match=r"cannot be loaded as Backbone: .*save_to_preset, which"):
        find(f"hub:{tmp_path}")(5, (16, 16, 3))


@pytest.mark.skipif(HAS_HUB, reason="KerasHub is installed")
def test_without_kerashub_the_command_that_installs_it_is_said():
    with pytest.raises(ConfigError, match=r"needs KerasHub: pip install -e '\.\[hub\]'"):
        find("hub:resnet_18_imagenet")


@needs_hub
@pytest.mark.parametrize("train", ["last_1", "lora_2"])
@pytest.mark.parametrize("family", ["ViT", "DINOV2"])
def test_copies_of_a_transformer_answer_alike(family, train, presets, rng):
    path, *_ = presets(family)
    network = find(f"hub:{path}")(5, (16, 16, 3))
    set_trained(network, train)
    copy = copy_network(network)
    images = rng.integers(0, 256, (3, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(copy(images), network(images), rtol=1e-4, atol=1e-5)
    assert [v.shape for v in copy.trainable_variables] == [
        v.shape for v in network.trainable_variables
    ]
