"""tools/compare.py: cells, resuming, statistics, tables."""

import csv
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types

import pytest

from mpl_tf import train
from mpl_tf.config.recipes import HEAD, RECIPES
from mpl_tf.options import ConfigError
from mpl_tf.runs import pictures, views_grid


@pytest.fixture(scope="module")
def compare(load_tool):
    return load_tool("compare")


@pytest.fixture(scope="module")
def tables(compare):
    return compare.tables


@pytest.fixture(scope="module")
def paired(compare):
    return compare.tables.paired


ARGUMENTS = [
    "--methods=supervised:network=mlp:finetune_steps=2,mpl:network=mlp:finetune_steps=0",
    "--num_labeled=20,50",
    "--seeds=1",
    "--steps=4",
]


class InThisProcess:
    """A cell's run in place of its process, one at a time; the failing cell below starts some."""

    lock = threading.Lock()

    def __init__(self, command, **options):
        assert command[:3] == [sys.executable, "-m", "mpl_tf.train"]
        assert options["env"]["TF_NUM_INTRAOP_THREADS"].isdigit()  # two share the cores
        with self.lock:
            self.status = train.main(command[3:])

    def wait(self):
        return self.status

    def terminate(self):
        pass


def test_cells_are_run_once_and_tables_are_written(compare, tmp_path, capsys, monkeypatch):
    arguments = [*ARGUMENTS, "--jobs=2", f"--out={tmp_path}"]
    runs = types.SimpleNamespace(Popen=InThisProcess, STDOUT=subprocess.STDOUT)
    monkeypatch.setattr(compare.cells, "subprocess", runs)
    for picture in (pictures, views_grid):  # of the cells; the table's are asked for
        monkeypatch.setattr(picture, "draw", lambda *_, **__: False)
    assert compare.main(arguments) == 0
    with open(tmp_path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["weights_digest"] for row in rows}) == 4
    # Whatever finished first, rows come in the order asked for.
    assert [(row["method"][:3], row["num_labeled"]) for row in rows] == [
        ("sup", "20"), ("mpl", "20"), ("sup", "50"), ("mpl", "50"),
    ]  # fmt: skip
    for name in ("table.md", "table.png", "curves.png"):
        assert (tmp_path / name).stat().st_size > 0
    # Cells of other settings are not taken for these.
    table = (tmp_path / "table.md").read_text()
    one_cell = [ARGUMENTS[0].partition(",")[0], "--num_labeled=20", "--seeds=1"]
    assert compare.main([*one_cell, "--steps=3", f"--out={tmp_path}"]) == 1
    assert "steps is 4 there and 3 here" in capsys.readouterr().out
    assert (tmp_path / "table.md").read_text() == table
    # A second time nothing is run, and the tables come out the same.
    monkeypatch.setattr(runs, "Popen", None)
    assert compare.main(arguments) == 0
    assert (tmp_path / "table.md").read_text() == table
    assert "4/4" in capsys.readouterr().out


def test_no_run_begins_once_they_are_stopped(compare):
    processes = compare.cells.Processes()
    sleeping = processes.begin(["sleep", "60"])
    processes.stop()
    assert sleeping.wait(timeout=10) == -signal.SIGTERM
    with pytest.raises(compare.cells.CellError, match="stopped"):
        processes.begin(["sleep", "60"])


def test_seconds_are_those_of_runs_in_one_go(compare, tables):
    options = compare.parse(["--seeds=3", "--num_labeled=10", "--methods=uda"])
    whole, resumed = result(0.2, 0.9, 50), result(0.2, 0.9, 2) | {"resumed_at": "train step 9"}
    done = {compare.cells.Cell("uda", 10, k): resumed if k else whole for k in range(3)}
    assert "| 50 | 0.010 | student B" in tables.markdown(options, ["uda"], done, {}, "command")
    del done[compare.cells.Cell("uda", 10, 0)]
    assert "|  | 0.010 | student B" in tables.markdown(options, ["uda"], done, {}, "command")


def test_accuracies_are_not_of_the_images_that_choose_the_network(compare, image_folder):
    flags = [f"--dataset=folder:{image_folder / 'my_images'}", "--num_labeled=8"]
    flags += ["--methods=mpl", "--flags=image_size=16,deliver=best,num_validation=4"]
    options = compare.parse(flags)
    with pytest.raises(ConfigError, match="has no test images, and deliver=best chooses on"):
        compare.cells.Cell("mpl", 8, 0).check(options)


def test_runs_under_way_are_stopped_with_the_comparison(compare, tmp_path, monkeypatch):
    """They are sent SIGTERM, and no other cell begins."""
    options = compare.parse(["--methods=supervised", "--seeds=3", "--jobs=1"])
    monkeypatch.setattr(compare.cells.Cell, "command", lambda *_: ["sleep", "60"])
    running = threading.Event()

    def terminate():
        running.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    class Process(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            running.set()

    monkeypatch.setattr(compare.cells.subprocess, "Popen", Process)
    monkeypatch.setattr(compare, "parse", lambda argv: options)
    options.out = str(tmp_path)
    threading.Thread(target=terminate).start()
    started = time.monotonic()
    assert compare.main([]) == 143
    assert time.monotonic() - started < 30
    assert len(list((tmp_path / "logs").iterdir())) == 1


def test_curves_are_the_training_rows(compare, tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(
        "phase,step,val_ema_accuracy\ntrain,5,\ntrain,10,0.25\ntrain,20,0.5\nfinetune,20,0.9\n"
    )
    assert compare.pictures.read_curve(path) == ([10, 20], [25.0, 50.0])


def result(ema, finetuned, seconds=10):
    accuracy = {"teacher": None, "student": 0.1, "ema": ema, "finetuned": finetuned}
    return {
        "test_accuracy": accuracy,
        "seconds": seconds,
        "seconds_per_step": seconds / 200,
        "weights_digest": "d",
    }


def test_the_table_by_hand(compare, tables, paired):
    options = compare.parse(["--seeds=2", "--num_labeled=10", "--methods=supervised,mpl"])
    cell = compare.cells.Cell
    done = {
        cell("supervised", 10, 0): result(0.2, 0.90, 10),
        cell("supervised", 10, 1): result(0.2, 0.94, 12),
        cell("mpl", 10, 0): result(0.50, None, 3),
    }
    last = {cell("supervised", 10, 0): [80.0, 90.0], cell("supervised", 10, 1): [50.0]}
    text = tables.markdown(options, options.methods, done, last, "command")
    assert "| supervised | 92.00 ± 2.83 |" in text  # sample standard deviation
    assert "| mpl | 50.00 (1 seed) |" in text
    assert "| supervised | +40.00 |" in text  # the one pair there is
    assert "| supervised | 80.00 | 11 | 0.055 | student B |" in text
    assert "`command`" in text
    # Two values: t(0.975, 1) = 12.706, times 2.828 / sqrt(2).
    assert paired.interval([90, 94]) == pytest.approx(25.41, abs=0.01)


def test_a_method_may_have_another_name(compare, tables, tmp_path):
    definition = "mpl:feedback=none"
    options = compare.parse(["--seeds=1", "--num_labeled=10", f"--methods=uda,my own={definition}"])
    renamed, plain = (compare.cells.Cell(m, 10, 0) for m in (options.methods[1], definition))
    assert renamed.name() == plain.name()
    assert renamed.command(options, tmp_path) == plain.command(options, tmp_path)
    done = {compare.cells.Cell("uda", 10, 0): result(0.2, 0.9), renamed: result(0.2, 0.8)}
    text = tables.markdown(options, options.methods, done, {}, "command")
    assert "| my own | 80.00 |" in text and "Difference to `my own` on" in text
    assert definition not in text
    tables.write_csv(tmp_path / "table.csv", done)
    assert "my own,10,0," in (tmp_path / "table.csv").read_text()


def test_the_dotted_line_is_of_supervised_learning_whatever_its_name(compare):
    options = compare.parse(["--num_labeled=10", "--methods=the labels=supervised,uda"])
    done = {compare.cells.Cell(m, 10, 0): result(0.2, 0.8) for m in options.methods}
    figure = compare.pictures._dots(options, options.methods, done, 0)
    assert figure.get_supxlabel().endswith("dotted: the mean of the labels")
    assert ":" in [line.get_linestyle() for line in figure.axes[0].lines]


def test_of_many_methods_meta_pseudo_labels_has_a_color_of_its_own(compare):
    methods = ["mpl", "x=mpl:feedback=none", *(f"m{k}" for k in range(9))]
    colors = [compare.pictures._color(method, methods) for method in methods]
    assert {*colors[:2]} == {"C3"} and {*colors[2:]} == {"C0"}
    assert compare.pictures._color("m3", methods[:10]) == "C5"


def test_the_table_says_where_cells_were_run_by_different_software(compare, tables):
    options = compare.parse(["--seeds=2", "--num_labeled=10", "--methods=supervised,mpl"])
    cell = compare.cells.Cell
    made = {"git_revision": "0123456789abcdef" * 2 + "01234567", "versions": {"keras": "3.15.1"}}
    done = {cell("supervised", 10, seed): result(0.2, 0.9) | made for seed in range(2)}

    def text():
        last = {each: [] for each in done}
        return tables.markdown(options, options.methods, done, last, "command")

    assert "different software" not in text()
    done[cell("mpl", 10, 0)] = result(0.5, None) | {**made, "git_revision": None}
    assert "software (of so many cells): git revision 0123456789ab (2), none (1)." in text()
    done[cell("mpl", 10, 1)] = result(0.5, None) | {**made, "versions": {"keras": "3.16"}}
    assert "(3), none (1); keras 3.15.1 (3), 3.16 (1).\n\n| method |" in text()


def test_paired_t_by_hand(paired):
    # Differences 1, 2, 3: t = 2 / (1 / sqrt(3)) = 3.464 with 2 degrees of freedom, p = 0.0742.
    ours, theirs = {0: 11.0, 1: 22.0, 2: 33.0, 7: 0.0}, {0: 10.0, 1: 20.0, 2: 30.0, 8: 99.0}
    assert paired.differences(ours, theirs) == [1.0, 2.0, 3.0]
    assert paired.p_value([1.0, 2.0, 3.0]) == pytest.approx(0.0742, abs=1e-4)
    assert paired.p_value([-1.0]) is None and paired.p_value([]) is None
    assert paired.p_value([0.0, 0.0]) == 1.0
    assert paired.p_value([0.1, 0.3 - 0.2]) is None  # the same, which tells of no spread
    # t(0.975, 2) = 4.303 times 1 / sqrt(3) = 2.484.
    assert paired.difference_text([1.0, 2.0, 3.0]) == "+2.00 [-0.48, +4.48] (p 0.074)"
    assert paired.difference_text([5.0, 5.1, 5.2]) == "+5.10 [+4.85, +5.35] (p < 0.001)"
    assert paired.difference_text([0.5]) == "+0.50" and paired.difference_text([]) == ""


def test_differences_are_against_the_methods_that_are_asked_for(compare, tables, capsys):
    flags = ["--seeds=2", "--num_labeled=10", "--methods=supervised,my own=uda,mpl"]
    cell = compare.cells.Cell
    accuracies = {"supervised": (0.5, 0.6), "my own=uda": (0.7, 0.9), "mpl": (0.8, 0.8)}
    done = {
        cell(m, 10, seed): result(0, a)
        for m, row in accuracies.items()
        for seed, a in enumerate(row)
    }

    def text(*more):
        options = compare.parse([*flags, *more])
        return tables.markdown(options, options.methods, done, {}, "command")

    assert "Difference to `mpl` on" in text() and "Difference to `my own` on" not in text()
    both = text("--against=my own,supervised")
    assert both.index("Difference to `my own` on") < both.index("Difference to `supervised` on")
    assert "Difference to `mpl` on" not in both
    # Differences 30 and 20: 25 ± t(0.975, 1) = 12.706 times 7.071 / sqrt(2).
    assert "| mpl | +25.00 [-38.53, +88.53] (p 0.126) |" in both
    first = {cell("supervised", 10, 0): done[cell("supervised", 10, 0)]}
    options = compare.parse([*flags, "--against=my own,mpl"])
    early = tables.markdown(options, options.methods, first, {}, "command")
    assert "| supervised | 50.00 (1 seed) |" in early and "Difference" not in early
    assert text("--against=uda").count("Difference to `my own` on") == 1  # by its definition, too
    assert compare.main([*flags, "--against=vat"]) == 2
    assert (
        "--against must be of the methods supervised, my own, mpl; received vat"
        in capsys.readouterr().err
    )


def test_bold_is_for_differences_beyond_noise(paired):
    close = {"a": {0: 90.0, 1: 92.0, 2: 91.0}, "b": {0: 92.0, 1: 90.0, 2: 90.5}}
    assert paired.best_beyond_noise(close) is None
    apart = {"a": {0: 90.0, 1: 92.0, 2: 91.0}, "b": {0: 80.0, 1: 82.1, 2: 81.0}}
    assert paired.best_beyond_noise(apart) == "a"
    assert paired.best_beyond_noise({"a": {0: 90.0}}) is None
    lucky = {"a": {0: 90.0, 1: 91.0, 2: 92.1}, "b": {0: 92.0, 1: 93.1, 2: 94.0, 3: 60.0}}
    assert paired.best_beyond_noise(lucky) is None  # ahead on average, behind on each seed of both


def test_a_failing_cell_says_its_last_words_and_the_others_run(compare, tmp_path, capsys):
    arguments = ["--methods=mpl:network=mlp,supervised:network=mlp", "--steps=2", "--seeds=1"]
    foreign = tmp_path / "cells" / "mpl-network-mlp-50-0" / "thesis.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("no run")
    assert compare.main([*arguments, f"--out={tmp_path}"]) == 1
    output = capsys.readouterr().out
    assert "ended with status 2" in output and "holds something that is no run" in output
    assert "1 of 2 cells failed" in output
    assert "| supervised:network=mlp |" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--methods=supervised,mpl:feedback=up"], "feedback must be one of"),
        (["--methods=supervised,mpl", "--flags=uda_weight=1"], "no use for uda_weight"),
        (
            ["--methods=mpl:feedback=none", "--flags=feedback=exact"],
            "mpl:feedback=none has feedback=none, and every run has feedback=exact",
        ),
        (["--methods=supervised:steps=5", "--steps=10"], "has steps=5, and every run has steps=10"),
        (["--methods=noisy_student", "--steps=2"], "noisy_student, 50 labels: steps must be"),
    ],
)
def test_flags_that_cannot_be_used_are_refused_before_anything_runs(
    wrong, message, compare, tmp_path, capsys
):
    assert compare.main([*wrong, f"--out={tmp_path / 'out'}"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_comparison_is_not_written_among_its_images(compare, image_folder, capsys):
    unlabeled = image_folder / "my_images" / "unlabeled"
    assert compare.main([f"--dataset=folder:{unlabeled.parent}", f"--out={unlabeled / 'x'}"]) == 2
    assert f"--out {unlabeled / 'x'} lies in the images" in capsys.readouterr().err
    assert not (unlabeled / "x").exists()


def test_students_of_several_rounds_share_the_steps_of_one(compare):
    options = compare.parse(["--steps=100"])
    for method, steps in (("noisy_student", 33), ("noisy_student:rounds=2", 50), ("uda", 100)):
        arguments = compare.cells.Cell(method, 50, 0).flags(options)
        assert compare.cells.flags.parse(arguments).config.run.steps == steps
    options = compare.parse([])  # of the dataset's recipe
    arguments = compare.cells.Cell("noisy_student", 50, 0).flags(options)
    assert compare.cells.flags.parse(arguments).config.run.steps == 800 // 3


def test_a_folder_is_called_by_its_name(compare):
    names = ("digits", "folder:/home/me/my_images/", "folder:my_images", "tfrecord:a/b/*.tfrecord")
    expected = ["digits", "folder:my_images", "folder:my_images", "tfrecord:*.tfrecord"]
    assert [compare.tables.dataset_name(name) for name in names] == expected


def test_heads_alone_are_finetuned_as_their_recipe_says(compare):
    network = f"network=keras:MobileNetV3Small,network_weights={__file__}"
    for method, flags in (("fixmatch", f"{network},train=head"), ("fixmatch:train=head", network)):
        options = compare.parse([f"--flags={flags}"])
        arguments = compare.cells.Cell(method, 50, 0).flags(options)
        made = compare.cells.flags.parse(arguments).config.run
        assert made.finetune_steps == HEAD["finetune_steps"] != RECIPES["digits"]["finetune_steps"]


@pytest.mark.parametrize(
    "wrong",
    ["--seeds=0", "--num_labeled=ten", "--steps=-5", "--what=1", "--methods=mpl,mpm"]
    + ["--methods=my=mpm", "--methods==mpl", "--methods=a|b=mpl"],
)
def test_bad_arguments_end_with_status_2(compare, wrong):
    with pytest.raises(SystemExit) as error:
        compare.main([wrong])
    assert error.value.code == 2


@pytest.mark.parametrize(
    ("methods", "twice"),
    [
        ("my=mpl,my=uda", "name my"),
        ("uda=mpl,uda", "name uda"),
        ("all,uda=mpl:student_learning_rate=9", "name uda"),
        ("mpl,my=mpl", "definition mpl"),
    ],
)
def test_methods_with_one_name_or_one_folder_are_refused(compare, methods, twice):
    with pytest.raises(ConfigError, match=f"2 methods with the {twice}"):
        compare.named(compare.parse([f"--methods={methods}"]))


def test_a_cell_is_one_command(compare, tmp_path):
    options = compare.parse(["--steps=7"])
    cell = compare.cells.Cell("mpl:feedback=none:network=small_8", 20, 3)
    command = cell.command(options, tmp_path)
    assert "--method=mpl" in command and "--feedback=none" in command
    assert "--steps=7" in command and "--num_labeled=20" in command and "--seed=3" in command
    assert "/" not in cell.name() and ":" not in cell.name()
    assert json.dumps(cell.name())


def test_all_is_every_method_and_each_says_what_it_computes(compare, tables):
    methods = importlib.import_module("mpl_tf.methods").METHODS
    assert compare.named(compare.parse(["--methods=all"])) == list(methods)
    more = compare.named(compare.parse(["--methods=all,mpl:feedback=none,mpl"]))
    assert more == [*methods, "mpl:feedback=none"]
    for name in methods:
        assert "B" in tables.compute(name) or "U" in tables.compute(name), name


def test_all_leaves_out_what_cannot_run_and_says_why(compare, capsys):
    network = f"network=keras:MobileNetV3Small,network_weights={__file__}"
    methods = importlib.import_module("mpl_tf.methods")
    options = compare.parse(["--methods=all", f"--flags={network},train=head"])
    assert set(methods.METHODS) - set(compare.named(options)) == set(methods.SELF_SUPERVISED)
    assert "simclr is left out of all: method=simclr teaches the encoder" in capsys.readouterr().out
    # What no method can run with is an error.
    assert compare.main(["--methods=all", "--flags=batch=3"]) == 2
    assert "batch" in capsys.readouterr().err


def test_cells_come_with_seeds_outermost(compare):
    cells = compare.cells.all_cells(["a", "b"], [1, 2], 2)
    assert [(c.seed, c.num_labeled, c.method) for c in cells[:5]] == [
        (0, 1, "a"), (0, 1, "b"), (0, 2, "a"), (0, 2, "b"), (1, 1, "a"),
    ]  # fmt: skip
    assert [c.seed for c in compare.cells.all_cells(["a"], [1], 2, 100)] == [100, 101]


def test_the_last_quarter_of_the_steps_is_what_a_validation_is_the_median_of(tables):
    assert tables.last_of([100, 200, 300, 400, 500], [1.0, 2.0, 3.0, 4.0, 5.0]) == [4.0, 5.0]
    assert tables.last_of([100, 166], [1.0, 2.0]) == [2.0]
    assert tables.last_of([10], [7.0]) == [7.0]


def test_an_axis_has_room_for_every_seed_and_for_no_impossible_accuracy(compare):
    assert compare.pictures.limits([60.0, 80.0]) == (59.0, 81.0)
    assert compare.pictures.limits([0.4, 99.9]) == (0, 100)
    assert compare.pictures.limits([50.0]) == (49.5, 50.5)


def test_pictures_have_the_best_method_on_top_and_those_without_all_columns_last(compare):
    cell = compare.cells.Cell
    done = {
        cell("a", 10, 0): result(0.5, None),
        cell("a", 20, 0): result(0.7, None),
        cell("b", 10, 0): result(0.4, None),
        cell("b", 20, 0): result(0.9, None),
        cell("c", 20, 0): result(0.99, None),
    }
    groups = compare.tables.by_seed(done)
    assert compare.pictures.ranked(["c", "d", "a", "b"], groups) == ["b", "a", "c"]


def test_curves_are_over_steps_and_over_the_minutes_that_they_take(compare):
    cell, options = compare.cells.Cell, types.SimpleNamespace(dataset="digits", num_labeled=[20])
    curves = {cell("a", 20, seed): ([100, 200], [50.0, 60.0 + seed]) for seed in (0, 1)}
    curves[cell("b", 20, 0)] = ([100, 200], [70.0, 80.0])
    done = {c: {"seconds_per_step": 0.6 if c.method == "a" else 1.2} for c in curves}
    over_steps, over_minutes = compare.pictures._curves(options, ["a", "b"], curves, done, 10).axes
    assert over_steps.get_title() == "digits, 20 labels, 2 a class"
    for axes, ends in ((over_steps, [200, 200]), (over_minutes, [2, 4])):
        means = [line for line in axes.lines if not line.get_label().startswith("_")]
        assert [line.get_xdata()[-1] for line in means] == pytest.approx(ends)
        assert [line.get_ydata()[-1] for line in means] == [60.5, 80]
    for results in done.values():
        results["seconds_per_step"] = None
    assert len(compare.pictures._curves(options, ["a", "b"], curves, done, 0).axes) == 1


def test_how_many_labels_a_class_has_is_said_where_it_is_known(compare, tmp_path):
    assert compare.tables.labels(40, 10) == "40 labels, 4 a class"
    assert compare.tables.labels(40, 0) == compare.tables.labels(40, 7) == "40 labels"
    assert compare.tables.labels(0, 10) == "all labels"
    damaged, whole = (compare.cells.Cell("a", 40, seed) for seed in (0, 1))
    for one, text in (
        (damaged, "{"),
        (whole, '{"labeled": [1], "validation": [], "class_names": ["x", "y"]}'),
    ):
        folder = tmp_path / "cells" / one.name()
        folder.mkdir(parents=True)
        (folder / "split.json").write_text(text)
    assert compare.cells.num_classes([damaged, whole], tmp_path) == 2
    assert compare.cells.num_classes([damaged], tmp_path) == 0


@pytest.mark.parametrize("dataset", ["digits", "fashion_mnist", "cifar10"])
def test_every_method_sees_as_many_images(compare, dataset):
    """Also those whose papers have one unlabeled image for each labeled one."""
    methods = importlib.import_module("mpl_tf.methods").METHODS
    options = compare.parse([f"--dataset={dataset}"])
    seen = set()
    for name in methods.keys() - {"supervised"}:
        arguments = compare.cells.Cell(name, 250, 0).flags(options)
        run = compare.cells.flags.parse(arguments).config.run
        seen.add((run.labeled_batch, run.unlabeled_ratio))
    assert len(seen) == 1
    arguments = compare.cells.Cell("ict:unlabeled_ratio=3", 250, 0).flags(options)
    assert compare.cells.flags.parse(arguments).config.run.unlabeled_ratio == 3


@pytest.mark.parametrize(("dataset", "steps"), [("digits", 200), ("cifar10", 1000)])
def test_every_method_is_finetuned_alike(compare, dataset, steps):
    """Also those that end without it by themselves."""
    methods = importlib.import_module("mpl_tf.methods").METHODS
    options = compare.parse([f"--dataset={dataset}"])

    def finetuned(name):
        arguments = compare.cells.Cell(name, 250, 0).flags(options)
        return compare.cells.flags.parse(arguments).config.run.finetune_steps

    assert {finetuned(name) for name in methods} == {steps}
    assert finetuned("fixmatch:finetune_steps=0") == 0
