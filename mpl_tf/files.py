"""Files that appear whole or not at all, and JSON in them."""

import contextlib
import json
import os
import shutil

from mpl_tf.options import ConfigError


def vanish(path):
    """Removes a file or folder, out of sight at once: a kill leaves no half that looks whole."""
    if os.path.lexists(path):
        os.rename(path, partial_name(path))
        remove(partial_name(path))


def remove(path):
    """Removes a file, a link or a folder, if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def read_json(path):
    """A JSON object from a file; ConfigError if the file does not hold one."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold a JSON object.")
    return value


@contextlib.contextmanager
def whole(path):
    """Gives a temporary path to write to, and renames it to `path` if all went well."""
    partial = partial_name(path)
    try:
        yield partial
        sync(partial)
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def partial_name(path):
    """The name of a file or folder while it is written or removed."""
    root, extension = os.path.splitext(path)
    return f"{root}.partial{extension}"


def sync(path):
    """Has the system put a file's content, or a folder's entries, on the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path, text):
    """Writes a text file that appears complete or not at all."""
    with whole(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(text)


def write_json(path, value):
    """Writes `value` as indented JSON, complete or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")
