"""tools/data_service.py: a dispatcher and a worker, and what is refused."""

import contextlib
import signal
import subprocess
import sys

import pytest

from mpl_tf.data import service


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("data_service")


@contextlib.contextmanager
def serving(tool, role, *arguments):
    """A server in a process of its own: (process, port that it prints).

    In the process of the tests a worker that goes waits for the task of a question that nobody
    reads any more, which can last for ever.
    """
    command = [sys.executable, tool.__file__, role, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said, _, port = process.stdout.readline().rpartition(" ")
            assert said == f"{role} at port"
            yield process, int(port)
        finally:
            process.kill()


def test_a_dispatcher_and_a_worker_answer_until_a_signal_ends_them(tool):
    with serving(tool, "dispatcher") as (dispatcher, port):
        address = f"localhost:{port}"
        of_worker = f"--dispatcher={address}", "--host=localhost"
        with serving(tool, "worker", *of_worker) as (worker, own_port):
            service.check_answers(address)
            assert own_port != port
            for process in (worker, dispatcher):
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=60) == 143


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["worker"], "--dispatcher=HOST:PORT is for a worker, which needs it"),
        (["dispatcher", "--dispatcher=a:5"], "--dispatcher=HOST:PORT is for a worker"),
        (["worker", "--dispatcher=a"], "--dispatcher must be HOST:PORT"),
        (["worker", "--dispatcher=a:5", "--port=70000"], "--port=70000 cannot be served"),
    ],
)
def test_misuse_ends_with_status_2_in_words(tool, capsys, argv, message):
    assert tool.main(argv) == 2
    assert message in capsys.readouterr().err
