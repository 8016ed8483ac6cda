"""results.json of a run that has ended, for all who read a part of it."""

import os
from collections.abc import Callable
from typing import Any

from mpl_tf import files
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder


def read(
    path: str, form: Any, check: Callable[[str, Any], None] = lambda file, content: None
) -> Any:
    """The content of the results.json of a run.

    Args:
      path: the run folder.
      form: what it must hold, as `forms.fault` takes it.
      check: gets the file and its content, and raises ConfigError if that is damaged.

    Raises:
      ConfigError: the file cannot be read or holds something else; the message says a way out.
    """
    file = os.path.join(path, folder.RESULTS)
    try:
        content = files.read_json(file, form)
        check(file, content)
    except ConfigError as error:
        raise ConfigError(
            f"{error} Remove it, and the command of the run writes it again from the checkpoints."
        ) from error
    return content
