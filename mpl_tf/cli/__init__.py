"""The command line of all verbs: flags made of `option` fields, help, exit statuses."""

from mpl_tf.cli.command import Failure, run
from mpl_tf.cli.flag_files import line
from mpl_tf.cli.flags import FLAGS, parser, read, refuse_files
from mpl_tf.cli.help import Command, Fields, HelpRequested, describe
from mpl_tf.cli.statuses import DONE, FAILED, INTERRUPTED, MISUSED, TERMINATED

__all__ = [
    "DONE",
    "FAILED",
    "FLAGS",
    "INTERRUPTED",
    "MISUSED",
    "TERMINATED",
    "Command",
    "Failure",
    "Fields",
    "HelpRequested",
    "describe",
    "line",
    "parser",
    "read",
    "refuse_files",
    "run",
]
