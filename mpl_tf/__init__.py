"""Meta Pseudo Labels: a classifier from a few labeled and many unlabeled images."""

import os as _os
import sys as _sys
from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if _TYPE_CHECKING:  # at run time it is a package that can be called
    from mpl_tf.auto.door import find as auto  # noqa: F401 - for those who read types

__version__ = "0.1.0"

# Beside the classes of the methods. All are loaded when first used: TensorFlow takes seconds, and
# the command line has to quiet it first.
_PUBLIC = {
    "METHODS": "mpl_tf.methods",
    "NETWORKS": "mpl_tf.networks",
    "DATASETS": "mpl_tf.data",
    "LARS": "mpl_tf.engine.lars",
    "WarmupCosine": "mpl_tf.formulas.schedules",
    "ConfigError": "mpl_tf.options",
}
# `mpl_tf.data.pair` and so on, after `import mpl_tf` alone.
_SUBMODULES = ("augment", "auto", "data", "features", "methods", "networks")


def _put_keras_on_tensorflow() -> None:
    """Keras's backend, whatever KERAS_BACKEND and ~/.keras/keras.json say for other programs.

    Raises:
      ImportError: Keras is imported already, on another backend.
    """
    keras = _sys.modules.get("keras")
    if keras is None:
        _os.environ["KERAS_BACKEND"] = "tensorflow"
    elif keras.config.backend() != "tensorflow":
        raise ImportError(
            f"mpl_tf needs Keras on TensorFlow; it is imported on {keras.config.backend()}. Import "
            "mpl_tf before keras, or set KERAS_BACKEND=tensorflow."
        )


_put_keras_on_tensorflow()


def __getattr__(name: str) -> _Any:
    if name in _SUBMODULES:
        return _import_module(f"mpl_tf.{name}")
    if name in _PUBLIC:
        return getattr(_import_module(_PUBLIC[name]), name)
    if name == "__all__":
        return sorted([*_PUBLIC, *_methods()])
    if name[:1].isupper() and name in _methods():
        return _methods()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(["__version__", *_SUBMODULES, *_PUBLIC, *_methods()])


def _methods() -> dict[str, type]:
    """Class name -> class of every method."""
    return {each.__name__: each for each in _import_module("mpl_tf.methods").METHODS.values()}
