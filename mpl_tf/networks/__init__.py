"""Networks, by the name that `--network` takes.

A network is one file with a builder and its ARCHITECTURE, and an entry in NETWORKS here.
"""

import difflib
import os
from collections.abc import Callable

from mpl_tf.networks import (
    applications,
    bit,
    cells,
    densenet,
    efficientnet,
    hub,
    inception_v4,
    mlp,
    polynet,
    published,
    resnet,
    saved,
    small,
    vit,
    wide_resnet,
)
from mpl_tf.networks.architecture import Architecture, Builder
from mpl_tf.networks.freezing import set_trained
from mpl_tf.networks.precision import precision
from mpl_tf.options import ConfigError

__all__ = [
    "HELP",
    "NETWORKS",
    "brings_head",
    "check",
    "find",
    "forms",
    "has_parts",
    "is_pretrained",
    "precision",
    "set_trained",
    "takes_drop_block",
    "takes_stem",
    "takes_weights",
]


class _Networks(dict[str, Architecture]):
    """The networks that need no arguments, by name; `find` answers for all other names."""

    def __missing__(self, name: str) -> Builder:
        return find(name)


NETWORKS = _Networks(
    mlp=mlp.ARCHITECTURE,
    small=small.ARCHITECTURE,
    wide_resnet=wide_resnet.ARCHITECTURE,
)
_ARCHITECTURES = (
    *NETWORKS.values(),
    resnet.ARCHITECTURE,
    densenet.ARCHITECTURE,
    efficientnet.ARCHITECTURE,
    bit.ARCHITECTURE,
    vit.ARCHITECTURE,
    cells.ARCHITECTURE,
    inception_v4.ARCHITECTURE,
    polynet.ARCHITECTURE,
    applications.ARCHITECTURE,
    saved.ARCHITECTURE,
    hub.ARCHITECTURE,
)
HELP = "\n".join(architecture.text for architecture in _ARCHITECTURES)


def find(name: str) -> Builder:
    """The builder of a network.

    Args:
      name: what `HELP` says, such as `small_16` or `keras:ResNet50`.

    Returns:
      A builder; it takes `head` and `head_temperature` where `has_parts`, `stem` where
      `takes_stem`, `drop_block` and its like where `takes_drop_block`, `weights` where
      `takes_weights`, and `keep_head` where `brings_head`.

    Raises:
      ConfigError: there is no such network; the message lists what there is.
    """
    for architecture in _ARCHITECTURES:
        if builder := architecture.find(name):
            return builder
    # A network of Keras without its prefix is worth a hint.
    of_keras = {n.lower(): f"keras:{n}" for n in applications.names()}
    names = of_keras | {n: n for a in _ARCHITECTURES for n in a.names} | {n: n for n in NETWORKS}
    close = difflib.get_close_matches(name.lower(), names, n=2)
    hint = f" Did you mean {' or '.join(names[n] for n in close)}?" if close else ""
    raise ConfigError(
        f"network must be one of: {forms(lambda _: True)}; received {name!r}.{hint} --help and "
        "docs/networks.md say what they are."
    )


def forms(of: Callable[[Architecture], bool]) -> str:
    """The names of networks, as a user reads them, of which something holds."""
    return ", ".join(form for a in _ARCHITECTURES if of(a) for form in a.forms)


def has_parts(name: str) -> bool:
    """Whether the network called `name` is made of a backbone and a head, and takes `head`."""
    return any(a.two_parts and a.matches(name) for a in _ARCHITECTURES)


def takes_drop_block(name: str) -> bool:
    """Whether the builder of the network called `name` takes `drop_block`, and its like."""
    return any(a.takes_drop_block and a.matches(name) for a in _ARCHITECTURES)


def takes_stem(name: str) -> bool:
    """Whether the builder of the network called `name` takes `stem`."""
    return any(a.takes_stem and a.matches(name) for a in _ARCHITECTURES)


def brings_head(name: str) -> bool:
    """Whether the network called `name` may come with a head, and takes `keep_head`."""
    return any(a.brings_head and a.matches(name) for a in _ARCHITECTURES)


def takes_weights(name: str) -> bool:
    """Whether the builder of the network called `name` takes `weights`."""
    return any(a.fetch is not None and a.matches(name) for a in _ARCHITECTURES)


def is_pretrained(name: str, weights: str) -> bool:
    """Whether the network called `name` starts from weights that were learned elsewhere.

    Args:
      name: of a network.
      weights: the `weights` of networks that take them.
    """
    architecture = next((a for a in _ARCHITECTURES if a.matches(name)), None)
    return architecture is not None and (
        architecture.pretrained or (architecture.fetch is not None and bool(weights))
    )


def check(name: str, weights: str, side: int) -> None:
    """Looks whether a network can start from weights, before any work; downloads published ones.

    Args:
      name: of a network that `takes_weights`.
      weights: as its builder takes them.
      side: height and width of the images; 0 if they are not known yet.

    Raises:
      ConfigError: they are not there.
    """
    if weights == published.IMAGENET:
        for architecture in _ARCHITECTURES:
            if architecture.fetch is not None and architecture.matches(name):
                architecture.fetch(side, **architecture.keywords(name))
    elif weights and not os.path.isfile(os.path.expanduser(weights)):
        raise ConfigError(
            f"network_weights must be {published.IMAGENET} or a file; {weights} is no file."
        )
