"""`python -m mpl_tf.export`: a run's network as a SavedModel for TensorFlow Serving."""

import dataclasses
import os
import sys
from collections.abc import Sequence

from mpl_tf import cli, console
from mpl_tf.engine.roles import DELIVERED, ROLES
from mpl_tf.options import ConfigError, option

COMMAND = cli.Command(
    "python -m mpl_tf.export",
    """Write a network of a run as DIR/<version>/, in the next free version, as TensorFlow
Serving takes it: whole or not at all. The run's data is not needed.

  python -m mpl_tf.export --workdir=runs/digits-mpl-0 --to=my_model""",
)


@dataclasses.dataclass(frozen=True)
class Options:
    """What is exported, and where to."""

    workdir: str = option("", "Folder of the run.", path=True)
    to: str = option("", "Folder of the versions; if empty, `export` in the run folder.", path=True)
    which: str = option(
        DELIVERED,
        "The network: what it delivers, or the teacher, the student, the student's moving "
        "average (ema), or that finetuned.",
        choices=(DELIVERED, *ROLES),
    )
    bfloat16: bool = option(
        False, "Store weights with 16 bits: half the size; answers differ in the third digit."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 done, 2 bad input or a folder that cannot be written, 130 stopped by the
      keyboard, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, cli.parser(COMMAND, Options), _export)


def _export(options: Options) -> int:
    if not options.workdir:
        raise ConfigError("--workdir must be the folder of a run; received none.")
    import tensorflow as tf

    from mpl_tf import files
    from mpl_tf.images.parts import check_outside
    from mpl_tf.runs import calibration, folder, restore
    from mpl_tf.serving import saved_model

    run = restore.find(options.workdir)
    directory = options.to or os.path.join(run.path, folder.EXPORT)
    check_outside("to", directory, run.config.run.dataset)
    files.check_folder(directory)
    role, network = restore.restore(run, options.which)
    try:
        path = saved_model.export(
            network,
            directory,
            run.class_names,
            config=run.config.flat(),
            about={"network": role},
            bfloat16=options.bfloat16,
            temperature=calibration.of_run(run.path, role),
        )
    except (OSError, tf.errors.OpError) as error:
        raise ConfigError(f"{directory} cannot be written: {files.reason(error)}.") from error
    console.say(f"{role} of {run.path}: {path}")
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())
