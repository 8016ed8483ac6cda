"""Weights that Keras publishes: downloaded by Keras into its own folder, or a sentence why not."""

import contextlib
import os
import re
import socket
import warnings
from collections.abc import Callable, Iterator

import keras

from mpl_tf.options import ConfigError

IMAGENET = "imagenet"
# A host that answers does so within these seconds; a download that lasts longer is not cut off.
_SECONDS = 10.0
# Addresses whose file has another name in Keras's folder.
_CALLED = {
    "NASNet-mobile-no-top.h5": "nasnet_mobile_no_top.h5",
    "NASNet-large-no-top.h5": "nasnet_large_no_top.h5",
}


def load(make: Callable[[], keras.Model], name: str) -> keras.Model:
    """A network of keras.applications with the weights that Keras publishes for it.

    Args:
      make: builds it, and thereby has Keras download what is not there.
      name: of the network, for messages.

    Raises:
      ConfigError: the weights are not there and cannot be downloaded, or are damaged.
    """
    try:
        with impatient(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that weights were learned on images of another size
            return make()
    except Exception as error:  # Keras raises plain Exceptions here, h5py and sockets their own
        raise ConfigError(_why(error, name)) from error


def folder() -> str:
    """Where Keras keeps published weights."""
    home = os.path.expanduser(os.environ.get("KERAS_HOME") or os.path.join("~", ".keras"))
    if not os.access(home, os.W_OK):  # as Keras does
        home = os.path.join("/tmp", ".keras")
    return os.path.join(home, "models")


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """Inside, a host that is silent for some seconds counts as one that cannot be reached."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _why(error: Exception, name: str) -> str:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    other = (
        "Or start from weights that are here: --network_weights=FILE, --network=file:MODEL.keras, "
        "--network=hub:FOLDER."
    )
    address = re.search(r"URL fetch failure on (\S+): \S* -- (.*)", reason)
    if address is None:
        return (
            f"the published weights of keras:{name} cannot be read: {reason} A file of them in "
            f"{folder()} that is damaged, or not the published one, is to be removed there. {other}"
        )
    basename = address[1].rpartition("/")[2]
    file = _CALLED.get(basename, basename)
    return (
        f"the published weights of keras:{name} are not in {folder()} and cannot be downloaded "
        f"({address[2]}). Put {file}, which is {address[1]}, into {folder()}. {other}"
    )
