"""The command line of all verbs: flags, help, exit statuses."""

import dataclasses
import os
import signal
import subprocess
import sys

import pytest

from mpl_tf import cli, evaluate, export, predict, select
from mpl_tf.options import ConfigError, option

COMMAND = cli.Command("python -m paint", "Paints.", failed="no wall")
WITH_FILES = dataclasses.replace(COMMAND, files="walls")
RESUMABLE = dataclasses.replace(COMMAND, after_stop="Paint on.")


@dataclasses.dataclass(frozen=True)
class Options:
    color: str = option("red", "Of the paint.", choices=("red", "blue"))
    coats: int = option(2, "How many.", low=1)
    gloss: float = option(0.5, "From 0 to 1.", low=0, high=1)
    dry: bool = option(True, "Wait until it is dry.")
    wall: str = option("", "Where; if empty, the next one.", path=True)


def parse(*argv, command=COMMAND):
    return cli.parser(command, Options)(argv)


def test_flags_become_options():
    (options,) = parse("--color=blue", "--coats", "3", "-gloss=1", "--nodry", "--wall=")
    assert options == Options("blue", 3, 1.0, False, "")
    assert parse() == (Options(),)
    assert parse("--nodry", "--dry") == (Options(),)
    assert parse("--dry=false") == (Options(dry=False),)


def test_a_path_may_begin_with_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    assert parse("--wall=~/wall") == (Options(wall="/home/me/wall"),)


def test_flags_may_stand_between_and_after_files():
    options, files = parse("a", "--coats=3", "-", "b c", "--", "--d", command=WITH_FILES)
    assert options.coats == 3
    assert files == ["a", "-", "b c", "--d"]


def test_one_option_may_need_no_flag():
    command = dataclasses.replace(COMMAND, unnamed="wall")
    assert parse("a=b", "--coats=3", command=command) == (Options(coats=3, wall="a=b"),)
    assert parse("--wall=a", command=command) == (Options(wall="a"),)
    for argv, message in (
        (["a", "--wall=b"], "received 'a' and --wall=b; one of the two says it"),
        (["a", "b"], "unexpected argument 'b'"),
        (["coats=3"], "Did you mean --coats=3?"),
        (["a.flags"], "Did you mean --flagfile=a.flags?"),
        (["gs://bucket"], "wall must be a path on this machine"),
    ):
        with pytest.raises(ConfigError) as caught:
            parse(*argv, command=command)
        assert message in str(caught.value)


def test_flags_can_stand_in_a_file(tmp_path):
    file = tmp_path / "paint.flags"
    file.write_text("# a comment\n--coats=3\n\n--nodry\n")
    (options,) = parse(f"--flagfile={file}", "--coats=4")
    assert options == Options(coats=4, dry=False)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--coatz=3"], "Unknown command line flag 'coatz'. Did you mean: coats"),
        (["--coats=many"], "coats must be of type int; received 'many'."),
        (["--coats"], "Missing value for flag --coats"),
        (["--nodry=1"], "--nodry=1 does not take an argument"),
        (["--dry=perhaps"], "flag --dry=perhaps"),
        (["--coats=0", "--gloss=2"], "coats must be at least 1; received 0. gloss must be at"),
        (["--color=green"], "color must be one of blue, red; received 'green'"),
        (["--wall=gs://wall"], "wall must be a path on this machine; received gs://wall"),
        (["wall"], "unexpected argument 'wall'; every setting is a --flag."),
        (["coats=3"], "a --flag. Did you mean --coats=3?"),
        (["coats=0", "--coats=0"], "a --flag. Did you mean --coats=0?"),
        (["my.flags"], "Did you mean --flagfile=my.flags?"),
        (["--flagfile=/no/such/file"], "--flagfile cannot be read: [Errno 2] No such file or dir"),
        (["--flagfile"], "--flagfile must be the path of a file of flags; received none."),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(argv, message):
    with pytest.raises(ConfigError) as error:
        parse(*argv)
    assert message in str(error.value)


@pytest.mark.parametrize("verb", [evaluate, export])
def test_a_run_folder_without_its_flag_gets_a_hint(verb, tmp_path, capsys):
    assert verb.main([str(tmp_path)]) == cli.MISUSED
    assert f"Did you mean --workdir={tmp_path}?" in capsys.readouterr().err
    (tmp_path / "my run").mkdir()
    assert verb.main([str(tmp_path / "my run")]) == cli.MISUSED
    assert f"Did you mean --workdir='{tmp_path / 'my run'}'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["{folder}"], "received none. Did you mean --model={folder}?"),
        (["x.png"], "--model must be an export or the folder of a run; received none.\n"),
        (["--model={folder}/none", "x.png"], "there is nothing at {folder}/none."),
    ],
)
def test_predict_says_which_model_is_missing(flags, message, tmp_path, capsys):
    argv = [flag.format(folder=tmp_path) for flag in flags]
    assert predict.main(argv) == cli.MISUSED
    assert message.format(folder=tmp_path) in capsys.readouterr().err


def test_a_missing_file_is_named():
    with pytest.raises(ConfigError, match="FILE is missing: walls"):
        parse(command=WITH_FILES)


def run(work, command=COMMAND, argv=()):
    return cli.run(command, argv, cli.parser(command, Options), work)


def raising(error):
    def work(options):
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "command", "status", "message"),
    [
        (ConfigError("No."), COMMAND, 2, "Error: No.\nSee python -m paint --help.\n"),
        (cli.Failure("no wall."), COMMAND, 1, "\nStopped: no wall.\n"),
        (KeyboardInterrupt(), COMMAND, 130, "\nInterrupted.\n"),
        (KeyboardInterrupt(), RESUMABLE, 130, "\nInterrupted. Paint on.\n"),
    ],
)
def test_what_went_wrong_is_said_and_is_the_status(error, command, status, message, capsys):
    assert run(raising(error), command) == status
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", message)


def test_sigterm_is_said_and_is_the_status(capsys):
    def work(options):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("not stopped")

    assert run(work, RESUMABLE) == 143
    assert capsys.readouterr().err == "Terminated. Paint on.\n"


def test_a_mistake_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda options: 1 // 0)


@pytest.mark.parametrize(("after_stop", "status"), [("", 0), ("Paint on.", 1)])
def test_a_reader_that_leaves_ends_a_command(after_stop, status):
    code = (
        "from test_command import *\n"
        "def work(options):\n"
        "    for number in range(10**6): print(number)\n"
        f"command = dataclasses.replace(COMMAND, after_stop={after_stop!r})\n"
        "sys.exit(run(work, command))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{os.path.dirname(__file__)}:{os.getcwd()}"},
    )
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    messages = process.stderr.read()
    process.stderr.close()
    assert process.wait() == status, messages
    assert "Traceback" not in messages
    assert ("nobody reads the output. Paint on." in messages) == bool(after_stop)


@pytest.mark.parametrize("verb", [evaluate, export, predict, select])
def test_help_shows_every_flag_and_status(verb, capsys):
    for flag in ("--help", "-h"):
        assert verb.main([flag]) == 0
        text = capsys.readouterr().out
        for field in dataclasses.fields(verb.Options):
            assert f"  --{field.name}=" in text or f"  --[no]{field.name}  [" in text
        for status in (0, 2, 130, 143):
            assert f"  {status} " in text
        assert ("  1 " in text) == (verb in (predict, select))
        assert ("FILE ..." in text) == (verb is predict)
        assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("verb", ["evaluate", "export", "predict", "select"])
def test_help_is_there_before_tensorflow(verb):
    code = f"import sys; from mpl_tf import {verb}; {verb}.main(['--help']); print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "tensorflow" not in result.stdout.splitlines()[-1].split()
