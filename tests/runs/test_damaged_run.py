"""Files of a run that are damaged, or something else than they should be, are refused in words."""

import json
import logging
import os
import re

import pytest

from mpl_tf import config
from mpl_tf.options import ConfigError
from mpl_tf.runs import choosing, folder, metrics_log, restore, results

SETTINGS = config.make({"dataset": "digits", "network": "mlp", "steps": 6}).flat()
SPLIT = {"class_names": ["a", "b"], "image_shape": [8, 8, 1], "num_unlabeled": 7, "labeled": [1]}
RESULTS = {
    "dataset": "digits",
    "method": "mpl",
    "seed": 0,
    "steps": 6,
    "num_labeled": 20,
    "test_accuracy": {"teacher": 0.5, "student": 0.5, "ema": 0.5, "finetuned": None},
    "weights_digest": "0",
    "seconds": 3,
    "seconds_per_step": None,
}
MISSING = object()


@pytest.fixture
def run(tmp_path):
    """A run folder as to its JSON files."""
    for name, content in (
        (folder.CONFIG, SETTINGS),
        (folder.SPLIT, SPLIT),
        (folder.RESULTS, RESULTS),
    ):
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


def change(run, name, key, value):
    """Sets a key of a JSON file, or removes it; without a key, all of its text."""
    content = json.loads((run / name).read_text())
    if value is MISSING:
        del content[key]
    else:
        content[key] = value
    (run / name).write_text(json.dumps(content) if key else value)


def test_what_a_run_says_of_itself(run):
    found = restore.find(str(run))
    assert found.config.flat() == SETTINGS
    assert (found.class_names, found.image_shape, found.num_unlabeled) == (("a", "b"), (8, 8, 1), 7)
    assert results.read(str(run)) == RESULTS


@pytest.mark.parametrize(
    ("name", "key", "value", "message"),
    [
        (folder.CONFIG, "", "{", "config.json cannot be read"),
        (folder.CONFIG, "", "[]", "content must be an object; received []"),
        (folder.CONFIG, "method", MISSING, "config.json is damaged: method must be one of"),
        (folder.CONFIG, "method", ["mpl"], "content.method must be a string"),
        (folder.CONFIG, "method", "magic", "config.json is damaged: method must be one of"),
        (folder.CONFIG, "steps", "6", "steps must be of type int; received '6'"),
        (folder.CONFIG, "steps", None, "content.steps must be a string"),
        (folder.CONFIG, "steps", -6, "steps must be at least"),
        (folder.SPLIT, "", "\x00", "split.json cannot be read"),
        (folder.SPLIT, "class_names", MISSING, "content.class_names is missing"),
        (folder.SPLIT, "class_names", [["a"], "b"], "content.class_names[0] must be a string"),
        (folder.SPLIT, "class_names", ["a"], "split.json is damaged: a count"),
        (folder.SPLIT, "image_shape", [8, 8], "content.image_shape must be a list of 3; received"),
        (folder.SPLIT, "image_shape", [8, 8.5, 1], "content.image_shape[1] must be a whole number"),
        (folder.SPLIT, "image_shape", [8, 0, 1], "split.json is damaged: a count"),
        (folder.SPLIT, "num_unlabeled", "7", "content.num_unlabeled must be a whole number"),
        (folder.SPLIT, "num_unlabeled", -7, "split.json is damaged: a count"),
        (folder.RESULTS, "", "", "results.json cannot be read"),
        (folder.RESULTS, "seconds", MISSING, "content.seconds is missing"),
        (folder.RESULTS, "seconds", "3", "content.seconds must be a number; received '3'"),
        (folder.RESULTS, "test_accuracy", [0.5], "content.test_accuracy must be an object or null"),
        (folder.RESULTS, "test_accuracy", {"ema": "x"}, "content.test_accuracy must be an object"),
        (folder.RESULTS, "test_accuracy", {"ema": 0.5}, "an accuracy must be there for each of"),
        (folder.RESULTS, "delivered", "best", "delivered must be of teacher, student, ema, "),
        (folder.RESULTS, "delivered", "", "finetuned; received ''. Remove it, and the command"),
        (folder.RESULTS, "delivered", "finetuned", "finetuned is delivered and has no accuracy"),
    ],
)
def test_json_of_another_form_is_refused(run, name, key, value, message):
    change(run, name, key, value)
    with pytest.raises(ConfigError, match=re.escape(message)):
        restore.find(str(run))
        results.read(str(run))


@pytest.mark.parametrize(
    ("value", "message"),
    [("best", "delivered must be of"), (3, "must be a string"), (MISSING, "is missing")],
)
def test_what_a_run_has_chosen_is_a_network(run, value, message):
    change(run, folder.RESULTS, "delivered", "ema")
    assert choosing.delivered(str(run)) == "ema"
    change(run, folder.RESULTS, "delivered", value)
    with pytest.raises(ConfigError, match=f"{message}.* Remove it, and the command"):
        choosing.delivered(str(run))
    (run / folder.RESULTS).unlink()
    with pytest.raises(ConfigError, match="not finished: what it delivers is chosen at its end"):
        choosing.delivered(str(run))


def test_options_that_a_configuration_leaves_out_are_named(run, messages):
    change(run, folder.CONFIG, "dropout", MISSING)
    assert restore.find(str(run)).config.flat() == SETTINGS
    assert f"have their defaults: {{'dropout': {SETTINGS['dropout']}}}" in messages(logging.WARNING)


def test_an_accuracy_that_was_not_measured_is_none(run):
    change(run, folder.RESULTS, "test_accuracy", MISSING)
    assert "test_accuracy" not in results.read(str(run))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00phase", "cannot be read: 'utf-8' codec"),
        (
            b"loss,step\n1,2\n",
            "its first columns must be phase and step; received ['loss', 'step']",
        ),
        (b"phase\ntrain\n", "its first columns must be phase and step"),
        (b"phase,step,loss\ntrain,1\n", "row 1 must be a phase, a step and numbers; received"),
        (b"phase,step,loss\ntrain,1,2\ntrain,x,2\n", "row 2 must be"),
        (b"phase,step,loss\ntrain,1,high\n", "row 1 must be"),
        (b"phase,step,loss\ntrain,-1,2\n", "row 1 must be"),
        (b"phase,step,loss\ntrain,1,2,3\n", "row 1 must be"),
        (b"phase,step,loss\n\x00\x00\x00\n", "row 1 must be"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, content, message):
    path = tmp_path / folder.METRICS
    path.write_bytes(content)
    for read in (metrics_log.read_table, metrics_log.read_curves, metrics_log.read_shares):
        with pytest.raises(ConfigError, match=re.escape(f"{path} ") + ".*" + re.escape(message)):
            read(str(path))


def put(path, what):
    """Puts something in place of a file or a folder of a run."""
    path.unlink(missing_ok=True)
    if what == "a file":
        path.write_text("mine")
    elif what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("what", ["a file", "a folder", "a pipe", "a link to nothing"])
@pytest.mark.parametrize("name", [*folder.ARTIFACTS[1:], folder.EVALUATION, folder.LOCK])
def test_what_a_run_cannot_write_at_its_end_is_refused_at_its_start(run, name, what, overwrite):
    """And nothing of it is removed."""
    (run / folder.RESULTS).unlink()
    put(run / name, what)
    fit = "a file"
    if name in (folder.TENSORBOARD, folder.CHECKPOINTS, folder.EXPORT, folder.EVALUATION):
        fit = "a folder"
    if name == folder.RESULTS and not overwrite:  # nothing is to be written
        assert folder.state(str(run), SETTINGS) == "finished"
    elif what == fit:
        expected = "new" if overwrite else "interrupted"
        assert folder.state(str(run), SETTINGS, overwrite) == expected
    else:
        message = f"{run / name} must be {fit}; it is {what}. Move it away."
        for function in (folder.state, lambda *args: folder.prepare(*args[:2], [], args[2])):
            with pytest.raises(ConfigError, match=re.escape(message)):
                function(str(run), SETTINGS, overwrite)
        assert os.path.lexists(run / name)


@pytest.mark.parametrize("name", ["checkpoints/train", "checkpoints/finetune", "tensorboard/train"])
def test_a_file_in_place_of_a_folder_of_a_phase_is_refused(run, name):
    (run / folder.RESULTS).unlink()
    (run / name).parent.mkdir()
    (run / name).touch()
    with pytest.raises(ConfigError, match=f"{name} cannot be written: .* is a file, no folder"):
        folder.state(str(run), SETTINGS)


def test_what_may_not_be_written_is_refused(run, monkeypatch):
    (run / folder.RESULTS).unlink()
    (run / folder.METRICS).write_text("phase,step\n")
    (run / folder.EXPORT).mkdir()
    for name in ("", folder.METRICS, folder.EXPORT):  # root may write everywhere: the system's word
        closed = os.path.join(run, name).rstrip("/")
        with monkeypatch.context() as patch:
            patch.setattr(os, "access", lambda path, mode, closed=closed: path != closed)
            with pytest.raises(ConfigError, match=f"{closed} cannot be .*no permission"):
                folder.state(str(run), SETTINGS)
    assert folder.state(str(run), SETTINGS) == "interrupted"
