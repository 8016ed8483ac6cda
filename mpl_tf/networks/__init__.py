"""Networks, by the name that `--network` takes.

A builder is `build(num_classes, input_shape, seed, dropout, synchronized) -> keras.Model`, all but
the first two with defaults. The model takes images with values 0 to 255, uint8 or floating, and
gives logits; it scales its input itself, so that training and serving cannot differ.
"""

import difflib
import functools
import re

from mpl_tf.networks import applications, mlp, small, wide_resnet
from mpl_tf.networks.precision import precision
from mpl_tf.options import ConfigError

__all__ = ["NETWORKS", "find", "precision"]

NETWORKS = {
    "mlp": mlp.build,
    "small": small.build,
    "wide_resnet": wide_resnet.build,
}


def find(name):
    """The builder of a network.

    Args:
      name: str, a key of NETWORKS; or `small_WIDTH`, such as `small_16`; or
        `wide_resnet_DEPTH_WIDTH`, such as `wide_resnet_28_10`; or `keras:NAME`, a network of
        keras.applications in any case, such as `keras:ResNet50`.

    Returns:
      Function, a builder as described above; for `keras:NAME` it takes `weights_file`, too.

    Raises:
      ConfigError: there is no such network; the message lists what there is.
    """
    if name in NETWORKS:
        return NETWORKS[name]
    if match := re.fullmatch(r"small_([1-9]\d{0,3})", name):
        return functools.partial(small.build, width=int(match[1]))
    if match := re.fullmatch(r"wide_resnet_(\d+)_(\d+)", name):
        depth, width = map(int, match.groups())
        wide_resnet.check(depth, width)
        return functools.partial(wide_resnet.build, depth=depth, width=width)
    prefix, colon, application = name.partition(":")
    if colon and prefix.lower() == "keras":
        return functools.partial(applications.build, name=applications.canonical(application))
    # A network of Keras without its prefix is worth a hint.
    known = {n.lower(): n for n in NETWORKS} | {
        n.lower(): f"keras:{n}" for n in applications.names()
    }
    close = difflib.get_close_matches(name.lower(), known, n=2)
    hint = f" Did you mean {' or '.join(known[n] for n in close)}?" if close else ""
    raise ConfigError(
        f"network must be one of {', '.join(NETWORKS)}, or small_WIDTH such as small_16, or "
        "wide_resnet_DEPTH_WIDTH such as wide_resnet_28_10, or keras:NAME with a network of "
        f"keras.applications such as keras:ResNet50; received {name!r}.{hint}"
    )
