"""The least images that each family of networks takes."""

import numpy as np
import pytest

from mpl_tf import networks
from mpl_tf.options import ConfigError

# A small member of each family that takes images of any size.
ANY = [
    "mlp",
    "wide_resnet_10_1",
    "resnet_14x0.125",
    "se_resnext_14_2x4d",
    "bit_14x0.5",
    "efficientnet_0.25_0.1",
    "pnasnet_5_1_8",
    "nasnet_a_1_8",
    "amoebanet_b_1_8",
]
LEAST = {
    "small_2": 2,
    "densenet_16_8": 4,
    "vit_1_8_4": 4,
    "inception_v4_1_1_1_0.05": 75,
    "polynet_1_1_1_0.05": 75,
    "keras:MobileNetV3Small": 32,
}


@pytest.mark.parametrize("name", ANY)
def test_a_family_takes_images_of_a_single_pixel(name):
    network = networks.find(name)(3, (1, 1, 3), seed=1)
    logits = network(np.array([[[[0, 0, 255]]], [[[255, 0, 0]]]], np.uint8), training=True)
    assert logits.shape == (2, 3) and np.isfinite(logits).all()


@pytest.mark.parametrize(("name", "least"), LEAST.items())
def test_a_family_takes_images_from_a_size_on(name, least):
    build = networks.find(name)
    assert build(3, (least, least, 3)).output_shape == (None, 3)
    with pytest.raises(ConfigError, match=r"(at least|nearest) .*received|received .*nearest") as e:
        build(3, (least, least - 1, 3))
    message = str(e.value)
    assert f"{least}x{least - 1}" in message and "--image_size" in message
    assert str(least) in message.replace(f"{least}x{least - 1}", "")
