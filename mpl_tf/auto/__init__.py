"""The best classifier of a folder: candidates, how they compare, and what is delivered.

    found = mpl_tf.auto("my_images", minutes=10)

This package can be called, and is `mpl_tf.auto.door.find` then, whose help says what it takes;
`python -m mpl_tf.auto` does the same from the command line.
"""

import inspect
import sys
import types

from mpl_tf.auto.door import find

__signature__ = inspect.signature(find)  # which editors show


class _Callable(types.ModuleType):
    """A package that is also a function: `mpl_tf.auto` is the name of both."""

    __call__ = staticmethod(find)


sys.modules[__name__].__class__ = _Callable
