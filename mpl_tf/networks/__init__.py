"""Networks, by the name that `--network` takes.

A network is one file with a builder and its ARCHITECTURE, and an entry in NETWORKS here.
"""

import difflib

from mpl_tf.networks import applications, mlp, small, wide_resnet
from mpl_tf.networks.architecture import Architecture, Builder
from mpl_tf.networks.precision import precision
from mpl_tf.options import ConfigError

__all__ = ["HELP", "NETWORKS", "find", "precision", "takes_weights"]


class _Networks(dict[str, Architecture]):
    """The networks that need no arguments, by name; `find` answers for all other names."""

    def __missing__(self, name: str) -> Builder:
        return find(name)


NETWORKS = _Networks(
    mlp=mlp.ARCHITECTURE,
    small=small.ARCHITECTURE,
    wide_resnet=wide_resnet.ARCHITECTURE,
)
_ARCHITECTURES = (*NETWORKS.values(), applications.ARCHITECTURE)
HELP = "; ".join(architecture.text for architecture in _ARCHITECTURES)


def find(name: str) -> Builder:
    """The builder of a network.

    Args:
      name: what `HELP` says, such as `small_16` or `keras:ResNet50`.

    Returns:
      A builder; where `takes_weights`, it takes `weights_file`, too.

    Raises:
      ConfigError: there is no such network; the message lists what there is.
    """
    for architecture in _ARCHITECTURES:
        if builder := architecture.find(name):
            return builder
    # A network of Keras without its prefix is worth a hint.
    names = {n.lower(): n for n in NETWORKS} | {
        n.lower(): f"keras:{n}" for n in applications.names()
    }
    close = difflib.get_close_matches(name.lower(), names, n=2)
    hint = f" Did you mean {' or '.join(names[n] for n in close)}?" if close else ""
    raise ConfigError(f"network must be one of: {HELP}; received {name!r}.{hint}")


def takes_weights(name: str) -> bool:
    """Whether the builder of the network called `name` takes `weights_file`."""
    return any(a.takes_weights and a.matches(name) for a in _ARCHITECTURES)
