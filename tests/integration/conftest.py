"""Smoke runs by the command line, and what is read of their folders."""

import csv
import json
import os
import pathlib
import subprocess
import sys
import types

import pytest

from mpl_tf import cli, train

FLAGS = pathlib.Path(__file__).parents[2] / "flags" / "smoke"
PROGRAM = pathlib.Path(__file__).parents[1] / "train_without_pictures.py"


def command(path, *flags, method="mpl"):
    """The arguments of a smoke run in the folder `path`."""
    return [f"--flagfile={FLAGS / method}.flags", f"--workdir={path}", *flags]


def run(path, *flags, method="mpl"):
    """The exit status of such a run, in this process."""
    return train.main(command(path, *flags, method=method))


def start(*flags):
    """A process of the command line; its output is one text."""
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )


def start_workers(ports, *flags):
    """Two processes of one run on several workers, the chief first."""
    workers = ",".join(f"localhost:{port}" for port in ports)
    flags = [*flags, "--strategy=multi_worker", f"--workers={workers}"]
    return [start(*flags, f"--worker_index={index}") for index in range(2)]


def results(path):
    return json.loads((path / "results.json").read_text())


def rows(path, name="metrics.csv"):
    """The rows of a table of a run, dicts of str."""
    with open(path / name, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def smoke():
    """The functions above."""
    return types.SimpleNamespace(
        command=command,
        run=run,
        start=start,
        start_workers=start_workers,
        results=results,
        rows=rows,
    )


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a finished smoke run of mpl; tests must not change it."""
    path = tmp_path_factory.mktemp("finished") / "run"
    assert run(path) == cli.DONE
    return path
