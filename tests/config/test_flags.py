"""The command line."""

import pathlib

import pytest

from mpl_tf import config
from mpl_tf.config import flags
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError

FLAG_FILES = sorted((pathlib.Path(__file__).parents[2] / "flags").rglob("*.flags"))


@pytest.mark.parametrize("path", FLAG_FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_flag_file_parses(path):
    command = flags.parse([f"--flagfile={path}"])
    assert path.stem.startswith(command.config.run.method)
    if path.parent.name != "smoke":
        header = path.read_text(encoding="utf-8")
        for word in ("Source:", "Expected:", "Measured:", "Cost:", "Run:"):
            assert f"# {word}" in header, word


DEFAULTS = {
    "cifar10/mpl_4000": {"dataset": "cifar10"},
    "cifar10/mpl_250": {"dataset": "cifar10", "num_labeled": 250},
    "cifar10/mpl_40": {"dataset": "cifar10", "num_labeled": 40},
    "svhn_cropped/mpl_1000": {"dataset": "svhn_cropped", "extra": True},
    "imagenet2012/mpl_10percent": {"dataset": "imagenet2012"},
} | {
    f"{dataset}/{method}": {"dataset": dataset, "method": method}
    for dataset in ("digits", "fashion_mnist")
    for method in METHODS
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_flag_files_are_recipes_written_out(name):
    path = next(p for p in FLAG_FILES if f"{p.parent.name}/{p.stem}" == name)
    written = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:2] == "--"]
    made = config.make(DEFAULTS[name])
    assert written == flags.to_lines(made)
    assert flags.parse([f"--flagfile={path}"]).config == made


def test_no_experiment_is_left_unchecked():
    names = {f"{p.parent.name}/{p.stem}" for p in FLAG_FILES if p.parent.name != "smoke"}
    assert names == DEFAULTS.keys()


# PAPER's table, column by column; what is blank there is not here.
PAPER = {
    "cifar10": {
        "num_labeled": 4000, "network": "wide_resnet_28_2", "labeled_batch": 128,
        "unlabeled_ratio": 7, "steps": 300_000, "student_learning_rate": 0.1,
        "student_wait_steps": 3000, "student_warmup_steps": 5000, "teacher_learning_rate": 0.1,
        "teacher_warmup_steps": 5000, "label_smoothing": 0.15, "weight_decay": 5e-4,
        "dropout": 0.2, "ema_decay": 0.995, "uda_temperature": 0.7, "uda_threshold": 0.6,
        "uda_weight": 8.0, "uda_ramp_steps": 5000, "clip_norm": 0.0, "randaugment_layers": 2,
        "randaugment_magnitude": 16.0, "finetune_learning_rate": 1e-5, "finetune_batch": 512,
        "finetune_steps": 1000, "momentum": 0.9,
    },
    "svhn_cropped": {
        "num_labeled": 1000, "network": "wide_resnet_28_2", "finetune_learning_rate": 1e-5,
        "finetune_batch": 512, "finetune_steps": 1000,
    },
    "imagenet2012": {
        "num_labeled": 128_000, "image_size": 224, "network": "keras:ResNet50",
        "labeled_batch": 1024, "unlabeled_ratio": 15, "steps": 700_000,
        "student_learning_rate": 0.1, "student_wait_steps": 20_000, "student_warmup_steps": 5000,
        "teacher_learning_rate": 0.15, "teacher_warmup_steps": 5000, "label_smoothing": 0.1,
        "weight_decay": 1e-4, "dropout": 0.1, "ema_decay": 0.999, "uda_temperature": 0.5,
        "uda_threshold": 0.6, "uda_weight": 20.0, "uda_ramp_steps": 50_000, "clip_norm": 5.0,
        "randaugment_layers": 2, "randaugment_magnitude": 17.0, "finetune_learning_rate": 1e-5,
        "finetune_batch": 512, "finetune_steps": 2000,
    },
}  # fmt: skip


@pytest.mark.parametrize("dataset", PAPER)
def test_recipes_are_the_papers(dataset):
    made = config.make({"dataset": dataset}).flat()
    assert {name: made[name] for name in PAPER[dataset]} == PAPER[dataset]


def test_flags_written_by_a_run_repeat_it(tmp_path):
    made = config.make({"feedback": "sampled", "steps": 30, "student_learning_rate": 1e-7})
    file = tmp_path / "run.flags"
    file.write_text("\n".join(flags.to_lines(made)))
    assert flags.parse([f"--flagfile={file}"]).config == made


def test_later_flags_win_over_a_file():
    command = flags.parse([f"--flagfile={FLAG_FILES[0]}", "--seed=9", "--workdir=here"])
    assert command.config.run.seed == 9
    assert command.workdir == "here"


def test_the_default_run_folder():
    assert flags.parse(["--method=supervised", "--seed=3"]).workdir == "runs/digits-supervised-3"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--stepz=3", "Unknown command line flag 'stepz'. Did you mean: steps"),
        ("--steps=many", "invalid literal for int"),
        ("--ema_decay=high", "could not convert string to float"),
        ("--flagfile=/no/such/file", "Unable to open flagfile"),
        ("steps=3", "unexpected argument 'steps=3'"),
        ("--steps", "Missing value for flag --steps"),
    ],
)
def test_mistyped_flags_are_refused_in_words(argument, message):
    with pytest.raises(ConfigError) as error:
        flags.parse([argument])
    assert message in str(error.value)


def test_help_shows_every_flag_with_its_resolved_default():
    with pytest.raises(flags.HelpRequested) as shown:
        flags.parse(["--help", "--steps=50"])
    text = str(shown.value)
    for name in config.make({}).flat():
        assert f"--{name}=" in text
    assert "--student_wait_steps=int  [5]" in text
    assert "--feedback=dot|exact|none|sampled  [exact]" in text
    assert max(map(len, text.splitlines())) <= 100
