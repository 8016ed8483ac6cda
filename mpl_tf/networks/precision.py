"""What the layers of a network compute in."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Networks built while this lasts compute in `name`; their variables are float32.

    Args:
      name: "float32", "bfloat16" or "float16".
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name if name == "float32" else f"mixed_{name}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def full() -> str:
    """The type of variables, for layers that are to compute with all digits: the head."""
    return keras.config.dtype_policy().variable_dtype
