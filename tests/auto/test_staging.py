"""A delivery takes the place of an earlier one; a kill at any moment leaves one that is whole."""

import itertools
import json
import os

import pytest

from mpl_tf.auto import staging
from mpl_tf.runs import folder

CALLS = ("rename", "replace", "remove", "rmdir", "makedirs")


class KilledError(BaseException):
    pass


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def deliver(path, word, version, run, pictures=("a",)):
    """A delivery that has `word` in all of its files.

    Args:
      path: the folder of all.
      word: in its files.
      version: of its export.
      run: whether it has a run.
      pictures: the tables that have one.
    """
    where = staging.run_folder(str(path), word) if run else None
    if run:
        for name in (folder.CONFIG, f"{folder.CHECKPOINTS}/1"):
            write(path / os.path.basename(where) / name, f'"{word}"')
    staged = staging.begin(str(path))
    assert not os.listdir(staged)
    for name in ("a.csv", "b.csv", f"export/{version}/model", *(f"{a}.png" for a in pictures)):
        write(path / os.path.basename(staged) / name, word)
    results = {"delivered": word, "export": f"export/{version}", "run": "run" if run else None}
    write(path / os.path.basename(staged) / staging.RESULTS, json.dumps(results))
    staging.end(str(path), where)


def kill_after(calls, monkeypatch):
    """After so many calls that change the disk the next one is a kill."""
    left = itertools.count(calls, -1)

    def killing(function):
        def call(*arguments, **more):
            if not next(left):
                raise KilledError
            return function(*arguments, **more)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, killing(getattr(os, name)))


def files_of(path):
    """Name -> content, of all files."""
    files = {str(file.relative_to(path)): file for file in path.rglob("*") if file.is_file()}
    return {name: file.read_text() for name, file in files.items()}


def assert_whole(path, word, version, run, pictures=("a",)):
    expected = dict.fromkeys(("a.csv", "b.csv", f"export/{version}/model"), word)
    expected |= {f"{name}.png": word for name in pictures}
    if run:
        expected |= {f"run/{name}": f'"{word}"' for name in (folder.CONFIG, "checkpoints/1")}
    there = files_of(path)
    assert json.loads(there.pop(staging.RESULTS))["delivered"] == word
    assert there == expected


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_a_kill_at_any_moment_leaves_a_delivery_that_the_next_start_makes_whole(
    tmp_path, monkeypatch, first, second
):
    moments, ended = 0, False
    while not ended:
        path = tmp_path / str(moments)
        path.mkdir()
        deliver(path, "old", 1, first, ("a", "b"))
        assert_whole(path, "old", 1, first, ("a", "b"))
        with monkeypatch.context() as patch:
            kill_after(moments, patch)
            try:
                deliver(path, "new", 2, second)
                ended = True
            except KilledError:
                pass
        there = files_of(path)
        results = json.loads(there[staging.RESULTS])
        assert there[f"{results['export']}/model"] == results["delivered"]
        is_ready = os.path.isdir(path / "delivery.ready")
        if results["delivered"] == "old" and not is_ready:
            others = ("delivery.", "run.next" if first else "run")
            kept = {k: v for k, v in there.items() if not k.startswith(others)}
            assert {*kept.values()} - {there[staging.RESULTS]} <= {"old", '"old"'}
            assert ("run/checkpoints/1" in kept) == first and "b.png" in kept
        staging.finish(str(path))
        if is_ready or results["delivered"] == "new":
            assert_whole(path, "new", 2, second)
        moments += 1
    assert moments > 12


def test_what_somebody_has_put_beside_a_delivery_stays(tmp_path):
    deliver(tmp_path, "old", 1, False)
    mine = ["results.png", "export/notes.txt", "export/mine/model", "export/1.old/model"]
    for name in mine:
        write(tmp_path / name, "mine")
    deliver(tmp_path, "new", 2, False)
    there = files_of(tmp_path)
    assert [there.pop(name, "") for name in mine] == ["mine"] * len(mine)
    assert "export/1/model" not in there and there["export/2/model"] == "new"


def test_the_run_of_another_winner_is_trained_beside_the_one_that_counts(tmp_path):
    path = str(tmp_path)
    assert staging.run_folder(path, "old").endswith("run")
    deliver(tmp_path, "old", 1, True)
    write(tmp_path / "run" / "mine.txt", "mine")
    assert staging.run_folder(path, "old") == str(tmp_path / "run")
    assert staging.run_folder(path, "new") == str(tmp_path / "run.next")
    write(tmp_path / "run.next" / folder.CONFIG, "of one that failed")
    deliver(tmp_path, "old", 1 + 1, True)
    assert not (tmp_path / "run.next").exists()
    deliver(tmp_path, "new", 3, True)
    assert (tmp_path / "run" / "mine.txt").read_text() == "mine"
    (tmp_path / "run" / "mine.txt").unlink()
    assert_whole(tmp_path, "new", 3, True)
