"""Each family of networks trains on two replicas as it does on one."""

import concurrent.futures
import functools

import numpy as np
import pytest

ONE, TWO = {"name": "cpu"}, {"name": "mirrored", "replicas": 2}
# Name -> side of the images, arguments without which replicas draw the same masks, and how far
# weights may be apart after three steps. Rounding grows where batch statistics are taken of few
# values, as of four images in last maps of a pixel: in PolyNet at 75 pixels the order of the images
# in a batch moves the weights by 5e-3 on one device. Where replicas take statistics of their own,
# weights are apart by 1 and more.
MEMBERS = {
    "resnext_14_2x4d": (16, {}, 1e-11),
    "se_resnext_14_2x4d": (16, {}, 1e-11),
    "densenet_16_8": (16, {}, 1e-11),
    "bit_14x0.5": (16, {}, 1e-11),
    "vit_2_64_4": (16, {}, 1e-11),
    "efficientnet_0.25_0.1": (16, {"stochastic_depth": 0.0}, 1e-8),
    "pnasnet_5_1_8": (16, {"drop_path": 0.0}, 1e-11),
    "inception_v4_1_1_1_0.05": (107, {}, 1e-7),
    "polynet_1_1_1_0.05": (107, {}, 1e-7),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMBERS)
def test_three_steps_on_two_replicas_equal_those_on_one(name, on_replicas):
    side, arguments, tolerance = MEMBERS[name]
    job = {
        "method": "supervised",
        "hyperparameters": {},
        "compile": {},
        "network": name,
        "arguments": arguments,
        "shape": (side, side, 1),
        "steps": 3,
        "floatx": "float64",
    }
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        run = functools.partial(on_replicas, {name: job}, optimized_graphs=False)
        one, two = (arrays[name] for arrays in pool.map(run, (ONE, TWO)))
    weights = [key for key in one if key.startswith("weights/")]
    assert two.keys() == one.keys()
    assert {one[key].dtype for key in weights} >= {np.dtype("float64")}
    for key in weights:
        np.testing.assert_allclose(two[key], one[key], rtol=0, atol=tolerance, err_msg=key)
