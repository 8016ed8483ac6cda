"""The command line."""

import dataclasses
import pathlib
import re

import pytest

from mpl_tf import cli, config, networks
from mpl_tf.config import flags
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError, option

SMOKE = pathlib.Path(__file__).parents[2] / "flags" / "smoke" / "mpl.flags"


def test_flags_written_by_a_run_repeat_it(tmp_path):
    made = config.make({"feedback": "sampled", "steps": 30, "student_learning_rate": 1e-7})
    file = tmp_path / "run.flags"
    file.write_text("\n".join(flags.to_lines(made)))
    assert flags.parse([f"--flagfile={file}"]).config == made


@pytest.mark.parametrize("name", ["set # 2", 'a "set" ', "two\nlines", "#"])
def test_names_that_a_comment_could_be_seen_in_are_repeated(tmp_path, monkeypatch, name):
    for part in ("labeled/ant", "labeled/bee", "unlabeled"):
        (tmp_path / name / part).mkdir(parents=True)
        (tmp_path / name / part / "1.png").touch()
    made = config.make({"dataset": f"folder:{tmp_path / name}", "cache_dir": name})
    file = tmp_path / "run.flags"
    file.write_text("\n".join(flags.to_lines(made)), encoding="utf-8")
    assert flags.parse([f"--flagfile={file}"]).config == made


def test_later_flags_win_over_a_file():
    job = flags.parse([f"--flagfile={SMOKE}", "--seed=9", "--workdir=here"])
    assert job.config.run.seed == 9
    assert job.launch.workdir == "here"


def test_the_default_run_folder():
    assert (
        flags.parse(["--method=supervised", "--seed=3"]).launch.workdir
        == "runs/digits-supervised-3"
    )


@pytest.mark.parametrize("path", ["my images", "./my images/", "x/../my images"])
def test_the_default_run_folder_has_the_last_name_of_a_path(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    for part in ("x", "my images/labeled/ant", "my images/labeled/bee"):
        (tmp_path / part).mkdir(parents=True)
    for name in ("ant", "bee"):
        (tmp_path / "my images" / "labeled" / name / "1.png").touch()
    for dataset in (f"folder:{path}", f"folder:{tmp_path}/{path}"):
        job = flags.parse([f"--dataset={dataset}", "--method=supervised"])
        assert job.launch.workdir == "runs/folder-my-images-supervised-0"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--stepz=3", "Unknown command line flag 'stepz'. Did you mean: steps"),
        ("--steps=many", "steps must be of type int; received 'many'."),
        ("--ema_decay=high", "ema_decay must be of type float; received 'high'."),
        ("--flagfile=/no/such/file", "--flagfile cannot be read: [Errno 2] No such file"),
        (
            "steps=3",
            "unexpected argument 'steps=3'; every setting is a --flag. Did you mean --step",
        ),
        ("flags/a.flags", "Did you mean --flagfile=flags/a.flags?"),
        (".", "Did you mean --workdir=.?"),
        ("mpl", "unexpected argument 'mpl'; every setting is a --flag."),
        ("--steps", "Missing value for flag --steps"),
    ],
)
def test_mistyped_flags_are_refused_in_words(argument, message):
    with pytest.raises(ConfigError) as error:
        flags.parse([argument])
    assert message in str(error.value)


def test_help_shows_every_flag_with_its_resolved_default():
    with pytest.raises(cli.HelpRequested) as request:
        flags.parse(["--help", "--steps=50"])
    text = str(request.value)
    for name in config.make({}).flat():
        assert f"  --{name}=" in text or f"  --[no]{name}  [" in text
    assert "--student_wait_steps=int  [5]" in text
    assert "--feedback=dot|exact|none|sampled  [exact]" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("method", sorted(METHODS))
def test_help_has_the_flags_of_its_method_alone_and_their_own_texts(method):
    with pytest.raises(cli.HelpRequested) as request:
        flags.parse(["--help", f"--method={method}"])
    text = " ".join(str(request.value).split())
    of_the_method = dataclasses.fields(METHODS[method].Config)
    for field in of_the_method:
        words = " ".join(field.metadata["help"].split())
        assert f"--{field.name}=" in text or f"--[no]{field.name} " in text
        assert words in text, field.name
    shown = set(re.findall(r"^  --(?:\[no\])?(\w+)", str(request.value), re.MULTILINE))
    used = config.make({"method": method}).flat().keys()
    assert shown == {*used, "workdir", "overwrite", "workers", "worker_index", *EVERYWHERE}
    of_flags = [line for line in str(request.value).splitlines() if line.startswith("  ")]
    families = networks.HELP.count("\n") + 1  # which --network lists
    assert len(of_flags) < 3 * len(shown) + 2 * families + len(METHODS)  # --method lists them


EVERYWHERE = ("flagfile", "verbosity")


@pytest.mark.parametrize(
    ("name", "annotation", "default"),
    [
        ("seed", int, 0),
        ("help", bool, False),
        ("workdir", str, ""),
        ("threshold", int, 1),
        ("feedback", bool, True),
    ],
)
def test_a_hyperparameter_with_the_name_of_another_flag_is_refused(
    monkeypatch, name, annotation, default
):
    options = dataclasses.make_dataclass("Made", [(name, annotation, option(default, "Help."))])
    monkeypatch.setitem(METHODS, "made", type("Made", (), {"Config": options}))
    with pytest.raises(TypeError, match=rf"Made.{name} needs another name"):
        flags.parse([])


@pytest.mark.parametrize(
    ("dataset", "with_devices", "expected"),
    [
        ("tfrecord:nowhere", True, [("mirrored", 2, "", -1, 1)]),
        ("tfrecord:nowhere", False, []),  # of a program that does not train
        ("nowhere", True, []),
    ],
)
def test_devices_are_made_before_records_are_looked_at(
    monkeypatch, dataset, with_devices, expected
):
    """TensorFlow looks at them, and could make no devices after that; other data can wait."""
    made = []
    monkeypatch.setattr(flags.devices, "make_strategy", lambda *of: made.append(of))
    with pytest.raises(ConfigError, match="nowhere"):
        arguments = [f"--dataset={dataset}", "--strategy=mirrored", "--replicas=2"]
        flags.parse(arguments, with_devices=with_devices)
    assert made == expected
