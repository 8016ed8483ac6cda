"""Stored predictions: what is read is what was written, of the right model and images."""

import doctest
import json
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from mpl_tf.options import ConfigError
from mpl_tf.pools import damage, predictions, writing
from mpl_tf.pools.predictions import Predictions

CLASSES, ROWS, IMAGES = 3, 4, 10
RNG = np.random.default_rng(0)
PROBS = RNG.dirichlet(np.ones(CLASSES), IMAGES).astype(np.float16)
DIGESTS = RNG.integers(0, 2**64, IMAGES, np.uint64)


def about(**changes):
    values = {
        "format": predictions.FORMAT,
        "model": "a",
        "model_path": "runs/a/export/1",
        "images": "b",
        "number_of_images": IMAGES,
        "image_shape": [8, 8, 1],
        "dataset": "digits",
        "class_names": ["x", "y", "z"],
        "rows_per_shard": ROWS,
    }
    return predictions.About(**(values | changes))


def write(path, numbers=None, **changes):
    with writing.begun(str(path), about(**changes)) as there:
        for number in predictions.missing(str(path), there) if numbers is None else numbers:
            part = slice(number * ROWS, (number + 1) * ROWS)
            with writing.shard(str(path), there, number) as (probs, digests):
                probs[:], digests[:] = PROBS[part], DIGESTS[part]


def test_examples():
    for module in (damage, predictions):
        failed, tried = doctest.testmod(module)
        assert tried and not failed


def test_the_example_of_the_reader_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "predictions")
    (example,) = re.findall(r"(?m)((?:^ {8}.*\n)+)", Predictions.__doc__)[:1]
    names = {"Predictions": Predictions}
    exec(textwrap.dedent(example), names)
    assert names["probs"].shape == (3, CLASSES)


def test_rows_are_read_by_position_in_any_order(tmp_path):
    write(tmp_path)
    stored = Predictions(tmp_path)
    positions = [9, 0, 4, 0, 3, 8, 7]
    found = stored.read(positions)
    assert found.dtype == np.float16 and (found == PROBS[positions]).all()
    assert stored.read([]).shape == (0, CLASSES)
    assert (stored.digests() == DIGESTS).all()
    assert (stored.rows_of(DIGESTS[[5, 1]]) == [5, 1]).all()
    for position in (-1, IMAGES):
        with pytest.raises(IndexError, match="from 0 to 9"):
            stored.read([0, position])
    with pytest.raises(ConfigError, match="no prediction of 1 of 2 images"):
        stored.rows_of(np.array([DIGESTS[0], DIGESTS[1] + np.uint64(1)]))


def test_there_are_128_shards_at_most():
    """All of which may be open at once."""
    for images in (1, 16_384, 2_000_000, 10**9):
        for classes in (2, 1000, 10**6):
            rows = predictions.rows_per_shard(images, classes)
            assert -(-images // rows) <= 128
            assert rows == -(-images // 128) or (rows <= 16_384 and rows * classes * 2 <= 2**28)


def test_blocks_have_all_rows_in_order(tmp_path):
    write(tmp_path)
    blocks = list(Predictions(tmp_path).blocks(3))
    assert [first for first, *_ in blocks] == [0, 3, 4, 7, 8]
    assert (np.concatenate([probs for _, probs, _ in blocks]) == PROBS).all()
    assert (np.concatenate([digests for *_, digests in blocks]) == DIGESTS).all()


def test_an_error_leaves_no_half_of_a_shard_and_the_rest_is_continued(tmp_path):
    write(tmp_path, [0])
    with (
        pytest.raises(KeyboardInterrupt),
        writing.begun(str(tmp_path), about()) as there,
        writing.shard(str(tmp_path), there, 1),
    ):
        raise KeyboardInterrupt
    assert predictions.missing(str(tmp_path), about()) == [1, 2]
    with pytest.raises(ConfigError, match="lacks 2 of 3 shards"):
        Predictions(tmp_path)
    before = (tmp_path / "probs-00000.npy").stat().st_mtime_ns
    write(tmp_path)
    assert (Predictions(tmp_path).read(np.arange(IMAGES)) == PROBS).all()
    assert (tmp_path / "probs-00000.npy").stat().st_mtime_ns == before


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signal")
def test_a_process_that_is_killed_leaves_whole_shards_alone(tmp_path):
    write(tmp_path, [0])
    code = f"""
import os, signal
from mpl_tf.pools import writing
with writing.begun({str(tmp_path)!r}, {about()!r}) as there:
    with writing.shard({str(tmp_path)!r}, there, 1) as (probs, digests):
        probs[:2] = 0.5
        os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    assert list(tmp_path.glob("*.partial.npy"))  # it was in the middle of one
    assert predictions.missing(str(tmp_path), about()) == [1, 2]
    write(tmp_path)
    assert not list(tmp_path.glob("*.partial.npy"))
    assert (Predictions(tmp_path).read(np.arange(IMAGES)) == PROBS).all()


def test_a_shard_without_its_digests_does_not_count(tmp_path):
    write(tmp_path)
    (tmp_path / "digests-00001.npy").unlink()
    assert predictions.missing(str(tmp_path), about()) == [1]


def test_what_was_begun_keeps_its_length_of_shards(tmp_path):
    write(tmp_path, [0])
    with writing.begun(str(tmp_path), about(rows_per_shard=5)) as there:
        assert there["rows_per_shard"] == ROWS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "c"}, "another model's predictions .of runs/a/export/1"),
        ({"images": "c"}, "predictions of other images .of digits, 10 images"),
        ({"class_names": ["x", "z", "y"]}, "predictions of other classes"),
        ({"image_shape": [9, 9, 1]}, "images of another size"),
    ],
)
def test_predictions_of_something_else_are_neither_continued_nor_used(tmp_path, change, message):
    write(tmp_path, [0])
    with pytest.raises(ConfigError, match=message):
        write(tmp_path, [1], **change)
    write(tmp_path)
    with pytest.raises(ConfigError, match=message):
        Predictions(tmp_path).check(**change)
    Predictions(tmp_path).check(**about(model_path="elsewhere"))


def test_two_processes_do_not_write_at_once(tmp_path):
    with (
        writing.begun(str(tmp_path), about()),
        pytest.raises(ConfigError, match="another process writes"),
    ):
        write(tmp_path)


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"something else than predictions \(notes.txt\)"):
        write(tmp_path)
    with pytest.raises(ConfigError, match="has no stored predictions"):
        Predictions(tmp_path)


def test_damage_is_named(tmp_path):
    write(tmp_path)
    shard = tmp_path / "probs-00002.npy"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    with pytest.raises(ConfigError, match=r"probs-00002\.npy is damaged"):
        Predictions(tmp_path)
    shard.write_bytes(content + b"0")
    with pytest.raises(ConfigError, match="another size"):
        Predictions(tmp_path)
    np.save(shard, PROBS[8:].astype(">f2"))
    with pytest.raises(ConfigError, match="numbers of another type"):
        Predictions(tmp_path)
    np.save(shard, PROBS[:1])
    with pytest.raises(ConfigError, match="another shape"):
        Predictions(tmp_path)
    (tmp_path / "about.json").write_text('{"format": 1}')
    with pytest.raises(ConfigError, match=r"about\.json is damaged"):
        Predictions(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([np.nan, 0.5, 0.5], "row 1 has nan, which is no probability"),
        ([-0.25, 0.75, 0.5], "row 1 has -0.25"),
        ([1.5, 0, 0], "row 1 has 1.5"),
        ([np.inf, 0, 0], "row 1 has inf"),
        ([0, 0, 0], "row 1 has the sum 0"),
        ([0.5, 0.25, 0.23], "row 1 has the sum 0.98"),
        ([0.5, 0.25, 0.245], ""),  # what a model of few digits gives
    ],
)
def test_rows_that_are_no_probabilities_are_refused_by_their_shard(tmp_path, row, message):
    write(tmp_path)
    probs = PROBS[4:8].copy()
    probs[1] = row
    np.save(tmp_path / "probs-00001.npy", probs)
    if not message:
        assert len(list(Predictions(tmp_path).blocks(3))) == 5
        return
    with pytest.raises(
        ConfigError, match=rf"probs-00001\.npy is damaged: from row 0 on, {message}"
    ):
        list(Predictions(tmp_path).blocks(3))


def test_roundings_to_float16_of_many_classes_are_no_damage():
    rows = np.full([1, 10**6], 1e-6).astype(np.float16)
    assert rows.sum(dtype=float) > 1.013
    assert not damage.of_rows(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows_per_shard": 0}, "rows_per_shard must be at least 1; received 0"),
        ({"rows_per_shard": -4}, "rows_per_shard must be at least 1; received -4"),
        (
            {"rows_per_shard": 1, "number_of_images": 129},
            "rows_per_shard must make at most 128",
        ),
        ({"number_of_images": 0}, "number_of_images must be at least 1; received 0"),
        ({"number_of_images": -10}, "number_of_images must be at least 1; received -10"),
        ({"image_shape": []}, r"image_shape must be height, width and channels; received \[\]"),
        ({"image_shape": [8, 8]}, "image_shape must be"),
        ({"image_shape": [8, 8, 0]}, "image_shape must be"),
        ({"class_names": ["x", "y", "x"]}, "class_names must be different names"),
        ({"class_names": []}, "class_names must be"),
    ],
)
def test_numbers_that_nobody_has_written_are_refused(tmp_path, change, message):
    write(tmp_path, [0])
    (tmp_path / "about.json").write_text(json.dumps({**about(**change)}))
    for use in (Predictions, write):
        with pytest.raises(ConfigError, match=rf"about\.json is damaged: {message}"):
            use(tmp_path)


def test_a_folder_of_something_else_is_left_as_it_was(tmp_path):
    (tmp_path / "about.json").write_text('{"model": "m"}')
    with pytest.raises(ConfigError, match=r"about\.json is damaged"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["about.json"]


def test_half_of_a_first_file_counts_as_nothing(tmp_path):
    (tmp_path / "about.partial.json").touch()
    (tmp_path / "predictions.lock").touch()
    write(tmp_path)
    assert (Predictions(tmp_path).read(np.arange(IMAGES)) == PROBS).all()


def test_reading_needs_no_tensorflow():
    code = "import sys, mpl_tf.pools.predictions; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
