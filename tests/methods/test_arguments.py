"""What a method says to arguments that it does not take, or misses."""

import pytest

import mpl_tf
from mpl_tf.options import ConfigError


def network():
    return mpl_tf.NETWORKS["mlp"](3, (4, 4, 1))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "FixMatch",
            {"treshold": 0.8},
            r"FixMatch has no option treshold; it has .*mean threshold",
        ),
        ("FixMatch", {"num_clases": 3}, r"FixMatch has no option num_clases; it has .*threshold"),
        ("FixMatch", {"threshold": -1.0}, r"threshold must be at least 0; received -1\.0"),
        ("FlexMatch", {}, r"received None. Pass num_unlabeled=data\.num_unlabeled"),
        ("TemporalEnsembling", {}, r"received None. Pass num_unlabeled=data\.num_unlabeled"),
        ("FlexMatch", {"num_unlabeled": 0}, r"at least 1; received 0"),
    ],
)
def test_they_are_refused_in_words(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        getattr(mpl_tf, name)(network(), **arguments)


def test_methods_with_two_networks_say_it_too():
    for name in ("MetaPseudoLabels", "NoisyStudent", "PseudoLabel"):
        with pytest.raises(
            ConfigError, match=rf"{name} has no option label_smooting; .*mean label_"
        ):
            getattr(mpl_tf, name)(network(), network(), label_smooting=0.1)
