"""A cache on the disk: interrupted anywhere, damaged, shared."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mpl_tf import files
from mpl_tf.features import cache as caches
from mpl_tf.features.cache import Cache, CacheError
from mpl_tf.options import ConfigError

SHAPE, CHUNK = (10, 2, 3), 4  # three chunks, the last one of two images
VALUES = np.random.default_rng(0).normal(size=SHAPE).astype(np.float16)


@pytest.fixture
def make(tmp_path):
    """make(**depends_on): a cache in a folder of the test."""
    return lambda **more: Cache(str(tmp_path / "c"), {"weights": 1} | more, SHAPE, "float16", CHUNK)


def part(chunk):
    return VALUES[CHUNK * chunk : CHUNK * (chunk + 1)]


def fill(cache, chunks=(0, 1, 2)):
    with cache.filling() as filling:
        for chunk in cache.missing(chunks):
            filling.write(chunk, part(chunk))


def is_whole(cache):
    rows = np.repeat(np.arange(10), 2)
    views = np.tile([0, 1], 10)
    return not cache.missing([0, 1, 2]) and np.array_equal(
        cache.read(rows, views), VALUES.reshape(20, 3)
    )


def test_what_was_written_is_read(make, tmp_path):
    assert make().missing([0, 1, 2]) == [0, 1, 2]
    fill(make())
    assert is_whole(make())
    np.testing.assert_array_equal(np.load(tmp_path / "c" / caches.FEATURES), VALUES)
    assert json.loads((tmp_path / "c" / caches.ABOUT).read_text()) == {"depends_on": {"weights": 1}}


def test_chunks_in_any_order(make):
    fill(make(), [2])
    assert make().missing([0, 1, 2]) == [0, 1]
    fill(make(), [0])
    fill(make())
    assert is_whole(make())


class Killed(BaseException):
    """Stands for a kill: nobody cleans up after it."""


@pytest.mark.parametrize("survives", range(6))
@pytest.mark.parametrize("partly", [0, 3])
def test_a_killed_process_leaves_what_the_next_one_continues(make, monkeypatch, survives, partly):
    """Killed in the middle of the write number `survives` of six, after `partly` bytes of it."""
    count = 0
    real = caches._to_disk

    class Dying:
        """A file that ends its process in one of its writes."""

        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, content):
            nonlocal count
            count += 1
            if count > survives:
                self.file.write(content[:partly])
                self.file.flush()
                raise Killed
            self.file.write(content)

    monkeypatch.setattr(caches, "_to_disk", lambda file: real(file.file))
    with pytest.raises(Killed), make().filling() as filling:
        filling._features, filling._lines = Dying(filling._features), Dying(filling._lines)
        for chunk in range(3):
            filling.write(chunk, part(chunk))
    monkeypatch.setattr(caches, "_to_disk", real)
    there = survives // 2
    assert make().missing([0, 1, 2]) == [0, 1, 2][there:]
    fill(make())
    assert is_whole(make())


def test_a_line_comes_after_its_chunk_is_on_the_disk(make, monkeypatch):
    order = []
    monkeypatch.setattr(caches, "_to_disk", lambda file: order.append(os.path.basename(file.name)))
    fill(make(), [0])
    assert order == [caches.FEATURES, caches.CHUNKS]


def damage(folder, how):
    features, lines = folder / caches.FEATURES, folder / caches.CHUNKS
    if how == "a byte":
        content = bytearray(features.read_bytes())
        content[-1] ^= 1
        features.write_bytes(content)
    elif how == "cut":
        os.truncate(features, features.stat().st_size - 5)
    elif how == "empty":
        os.truncate(features, 0)
    elif how == "no features":
        features.unlink()
    elif how == "another header":
        features.write_bytes(b"x" * features.stat().st_size)
    elif how == "another checksum":
        lines.write_bytes(lines.read_bytes()[:-9] + b"00000000\n")


@pytest.mark.parametrize(
    ("how", "count"),
    [
        ("a byte", 1),
        ("cut", 1),
        ("empty", 3),
        ("no features", 3),
        ("another header", 3),
        ("another checksum", 1),
    ],
)
def test_damage_is_noticed_and_mended(make, tmp_path, caplog, how, count):
    fill(make())
    damage(tmp_path / "c", how)
    assert len(make().missing([0, 1, 2])) == count
    assert f"is damaged: {count} of 3 chunks" in caplog.text
    fill(make())
    assert is_whole(make())


def test_other_features_are_not_taken_for_these(make, tmp_path):
    fill(make())
    with pytest.raises(ConfigError, match="holds features of something else"):
        make(weights=2).missing([0])
    (tmp_path / "c" / caches.ABOUT).write_text("{")
    with pytest.raises(ConfigError, match=r"about.json cannot be read"):
        make().missing([0])


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (caches.FEATURES, "a folder"),
        (caches.CHUNKS, "a folder"),
        (caches.ABOUT, "a folder"),
        (caches.LOCK, "a folder"),
        (caches.ABOUT, ""),
        (caches.ABOUT, "[]"),
        ("", "a file"),
    ],
)
def test_what_is_no_cache_is_refused_with_the_way_out(make, tmp_path, name, what):
    fill(make())
    path = tmp_path / "c" / name
    files.remove(str(path))
    path.mkdir() if what == "a folder" else path.write_text(what)
    for attempt in (lambda: make().missing([0]), lambda: fill(make())):
        with pytest.raises(ConfigError, match=f"Remove {tmp_path / 'c'}, and the features are c"):
            attempt()


def test_a_full_disk_is_said(make, monkeypatch):
    def full(file):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(caches, "_to_disk", full)
    with pytest.raises(CacheError, match=r"No space left on device\. Make room there"):
        fill(make())
    monkeypatch.undo()
    assert make().missing([0, 1, 2]) == [0, 1, 2]
    fill(make())
    assert is_whole(make())


def test_a_folder_that_cannot_be_made(make, tmp_path):
    (tmp_path / "file").touch()
    cache = Cache(str(tmp_path / "file" / "c"), {}, SHAPE, "float16", CHUNK)
    assert cache.missing([0]) == [0]
    with pytest.raises(ConfigError, match="c cannot be written: Not a directory"):
        fill(cache)


HOLDER = """
import sys
import numpy as np
from mpl_tf.features.cache import Cache

path, values = sys.argv[1:]
cache = Cache(path, {"weights": 1}, (10, 2, 3), "float16", 4)
with cache.filling() as filling:
    print("held", flush=True)
    sys.stdin.readline()
    for chunk in (0, 1):
        filling.write(chunk, np.load(values)[4 * chunk : 4 * chunk + 4])
"""


def test_two_processes_do_not_write_at_once(make, tmp_path, monkeypatch):
    np.save(tmp_path / "values.npy", VALUES)
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "c"), str(tmp_path / "values.npy")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        lines = []

        def note(text):
            lines.append(text)
            process.stdin.write("go on\n")
            process.stdin.flush()

        monkeypatch.setattr(caches, "_SOON", 0.1)
        monkeypatch.setattr(caches.log, "info", note)
        cache = make()
        with cache.filling():
            assert cache.missing([0, 1, 2]) == [2]
    assert "Another process computes the features" in lines[0]
