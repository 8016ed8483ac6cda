"""tools/data_service.py: a dispatcher and a worker, and what is refused."""

import signal
import subprocess
import sys

import pytest

from mpl_tf.data import service


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("data_service")


def test_a_dispatcher_and_a_worker_answer(tool):
    dispatcher = tool.start(tool.parse(["dispatcher"]))
    address = f"localhost:{tool.port_of(dispatcher)}"
    worker = tool.start(tool.parse(["worker", f"--dispatcher={address}", "--host=localhost"]))
    service.check_answers(address)
    assert tool.port_of(worker) != tool.port_of(dispatcher)


def test_a_signal_ends_it(tool):
    command = [sys.executable, tool.__file__, "dispatcher"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("dispatcher at port ")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 143
        finally:
            process.kill()


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
