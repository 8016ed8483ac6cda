"""tf.data's service: a dispatcher on one machine, and workers that make batches on many.

    python tools/data_service.py dispatcher --port=5050
    python tools/data_service.py worker --dispatcher=HOST:5050
    python -m mpl_tf.train --data_service=HOST:5050 ...

Workers must see the images at the same paths as the training, and have its version of TensorFlow.
All of them serve anybody who reaches their ports: keep those inside a network of your own.
"""

import argparse
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from arguments import at_least
from mpl_tf import cli, console
from mpl_tf.options import ConfigError

COMMAND = cli.Command("python tools/data_service.py", __doc__)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line as a namespace."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("role", choices=("dispatcher", "worker"), help="what this process is")
    parser.add_argument("--port", type=at_least(0), default=0, help="0: any that is free [0]")
    parser.add_argument("--dispatcher", default="", help="HOST:PORT, which a worker needs")
    parser.add_argument(
        "--host",
        default=socket.gethostname(),
        help="under which the others reach a worker [%(default)s]",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until it is stopped.

    Returns:
      The exit status: 2 bad input, 130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, lambda argv: (parse(argv),), serve)


def serve(arguments: argparse.Namespace) -> int:
    """Runs a dispatcher or a worker that is parsed; see `main`."""
    server = start(arguments)
    console.say(f"{arguments.role} at port {port_of(server)}")
    while True:  # server.join() would wait where no signal is heard
        time.sleep(60)


def port_of(server: Any) -> int:
    """The port of a server that `start` gives."""
    return int(server._address.rpartition(":")[2])


def start(arguments: argparse.Namespace) -> Any:
    """The server of TensorFlow, which serves until nothing refers to it.

    Raises:
      ConfigError: a worker has no dispatcher, a dispatcher is given one, or the port is taken.
    """
    import tensorflow as tf

    from mpl_tf.data import service

    of = tf.data.experimental.service
    if (arguments.role == "worker") != bool(arguments.dispatcher):
        raise ConfigError(
            "--dispatcher=HOST:PORT is for a worker, which needs it; received "
            f"{arguments.role} with --dispatcher={arguments.dispatcher!r}."
        )
    try:
        if arguments.role == "dispatcher":
            return of.DispatchServer(of.DispatcherConfig(port=arguments.port))
        service.check_address("--dispatcher", arguments.dispatcher)
        with socket.socket() as free:  # a worker tells the dispatcher its port when it starts
            free.bind(("", arguments.port))
            port = free.getsockname()[1]
        address = f"{arguments.host}:{port}"
        return of.WorkerServer(
            of.WorkerConfig(arguments.dispatcher, worker_address=address, port=port)
        )
    except (OSError, OverflowError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"--port={arguments.port} cannot be served: {reason}") from error


if __name__ == "__main__":
    sys.exit(main())
