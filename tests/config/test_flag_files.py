"""The experiments under flags/: a header, and what differs from recipe and defaults."""

import collections
import pathlib
import shlex

import pytest

from mpl_tf.config import flags
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError

ROOT = pathlib.Path(__file__).parents[2]
FLAG_FILES = sorted((ROOT / "flags").rglob("*.flags"))
EXPERIMENTS = [path for path in FLAG_FILES if path.parent.name != "smoke"]


def name(path):
    return path.relative_to(ROOT).as_posix()


def lines(path, start):
    text = path.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.startswith(start)]


@pytest.fixture(params=FLAG_FILES, ids=name)
def path(request):
    return request.param


def test_it_is_a_header_and_flags(path):
    text = path.read_text(encoding="utf-8").splitlines()
    header, settings = lines(path, "#"), lines(path, "--")
    assert text == header + settings
    assert all(line.startswith(("# ", "#   ")) and len(line) <= 100 for line in header)


def test_it_says_which_dataset_and_method(path):
    dataset, method, *_ = lines(path, "--")
    run = flags.parse([f"--flagfile={path}"]).config.run
    assert (dataset, method) == (f"--dataset={run.dataset}", f"--method={run.method}")
    assert path.stem == run.method or path.stem.startswith(f"{run.method}_")
    assert path.parent.name in (run.dataset, "smoke")


def test_no_line_repeats_a_default(path):
    settings = lines(path, "--")
    made = flags.parse(settings).config
    for line in settings[2:]:
        others = [other for other in settings if other != line]
        try:
            without = flags.parse(others).config
        except ConfigError:  # another line has no effect without this one
            continue
        assert without != made, f"{line} changes nothing"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name)
def test_its_header_is_a_record(path):
    header = lines(path, "#")
    words = [line[2:].partition(":")[0] for line in header if line[2] != " "][1:]
    assert words == ["Source", "Expected", "Measured", "Cost", "Run"]
    assert header[-1] == f"# Run: python -m mpl_tf.train --flagfile={name(path)}"
    assert shlex.split(header[-1])[-1] == f"--flagfile={name(path)}"


def test_every_method_has_one_on_digits():
    assert {path.stem for path in EXPERIMENTS if path.parent.name == "digits"} == METHODS.keys()


def test_no_experiment_is_there_twice():
    made = collections.Counter(flags.parse([f"--flagfile={path}"]).config for path in FLAG_FILES)
    assert max(made.values()) == 1
