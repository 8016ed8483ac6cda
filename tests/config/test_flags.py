"""The command line."""

import pathlib

import pytest

from mpl_tf import cli, config
from mpl_tf.config import flags
from mpl_tf.options import ConfigError

SMOKE = pathlib.Path(__file__).parents[2] / "flags" / "smoke" / "mpl.flags"


def test_flags_written_by_a_run_repeat_it(tmp_path):
    made = config.make({"feedback": "sampled", "steps": 30, "student_learning_rate": 1e-7})
    file = tmp_path / "run.flags"
    file.write_text("\n".join(flags.to_lines(made)))
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


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--stepz=3", "Unknown command line flag 'stepz'. Did you mean: steps"),
        ("--steps=many", "steps must be of type int; received 'many'."),
        ("--ema_decay=high", "ema_decay must be of type float; received 'high'."),
        ("--flagfile=/no/such/file", "--flagfile cannot be read: [Errno 2] No such file"),
        ("steps=3", "unexpected argument 'steps=3'"),
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
