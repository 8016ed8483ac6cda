"""README.md and docs/: code runs, commands are understood, and what is named exists."""

import contextlib
import functools
import importlib.util
import inspect
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest

import mpl_tf
from mpl_tf import cli, config, data, evaluate, export, predict, select, train
from mpl_tf.config import flags
from mpl_tf.methods import METHODS
from mpl_tf.networks import NETWORKS, applications
from mpl_tf.runs import drawing
from mpl_tf.runs.experiment import build, make_split

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
METHOD_PAGE = DOCS / "adding_a_method.md"
# Files that the reader of METHOD_PAGE makes.
MADE = ("mpl_tf/methods/entropy.py", "tests/methods/test_entropy.py", "flags/digits/entropy.flags")

of_every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def text_of(page):
    return page.read_text(encoding="utf-8")


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", text_of(page), re.DOTALL)


@functools.cache
def commands():
    """The arguments of every `python ...` in the pages' shell blocks and sentences, once each."""
    # bash expands variables and continued lines, and has no program to run. A line is written at
    # once, because commands in the background write too.
    recorder = """
    python() { local line; printf -v line '%q ' "$@"; echo "$line"; }
    pip() { :; }
    """
    lines = []
    for page in PAGES:
        for block in blocks(page, "sh"):
            run = subprocess.run(
                [shutil.which("bash"), "-c", f"{recorder}\n{block}\nwait"],
                env={"PATH": ""},
                cwd=ROOT,
                capture_output=True,
                text=True,
            )
            lines += run.stdout.splitlines()
        lines += re.findall(r"`python ((?:-m mpl_tf\.\w+|tools/)[^`]*)`", text_of(page))
    return sorted({" ".join(line.split()) for line in lines})


def commands_of(start):
    return [command for command in commands() if command.startswith(start)]


@pytest.fixture
def example(monkeypatch):
    """The Python of docs/adding_a_method.md, executed as the module that it says it is."""
    module = types.ModuleType("mpl_tf.methods.entropy")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    module.METHODS = METHODS
    for block in blocks(METHOD_PAGE, "python"):
        exec(compile(block, str(METHOD_PAGE), "exec"), module.__dict__)
    yield module
    METHODS.pop("entropy", None)


@of_every_page
def test_links_lead_somewhere(page):
    prose = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        titles = re.findall(r"^#+ (.*)$", text_of(linked), re.MULTILINE) if anchor else []
        anchors = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
        assert not anchor or anchor in anchors, target


def test_the_index_has_every_page():
    index = text_of(DOCS / "README.md")
    for page in PAGES[1:]:
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


@of_every_page
def test_named_files_exist(page):
    roots = (ROOT, ROOT / "mpl_tf", ROOT / "tests")
    folders = {path.name for root in roots for path in root.iterdir() if path.is_dir()}
    for name in re.findall(r"`([\w./]+?)(?:::\w+\.*)?`", text_of(page)):
        if "/" in name and name.split("/")[0] in folders - {"runs", "export"} and name not in MADE:
            assert any((root / name).exists() for root in roots), name


@of_every_page
def test_named_tests_exist(page):
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if path.name != "test_docs.py"]
    tests = "\n".join(map(text_of, files))
    for name in re.findall(r"::(test_\w+)|`(test_\w+)(?:\.\.\.)?`", text_of(page)):
        assert f"def {''.join(name)}" in tests, name


@pytest.mark.parametrize(
    "page", [p for p in PAGES[1:] if blocks(p, "python") and p != METHOD_PAGE], ids=lambda p: p.stem
)
def test_python_blocks_run_one_after_the_other(page, image_folder, monkeypatch):
    monkeypatch.chdir(image_folder)
    names = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("command", commands_of("-m mpl_tf.train"))
def test_training_commands_are_understood(command, image_folder, monkeypatch):
    monkeypatch.chdir(image_folder)
    (image_folder / "flags").symlink_to(ROOT / "flags")
    for file in re.findall(r"file:(\S+)", command):  # of a run before
        (image_folder / file).parent.mkdir(parents=True)
        (image_folder / file).touch()
    with contextlib.suppress(cli.HelpRequested):
        flags.parse(shlex.split(command)[2:])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a finished run, called as that of the README's first command; it draws none."""
    folder = tmp_path_factory.mktemp("finished")
    smoke = ROOT / "flags" / "smoke" / "mpl.flags"
    workdir = folder / "runs" / "digits-mpl-0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "save", lambda path, make, dpi=100: False)
        assert train.main([f"--flagfile={smoke}", f"--workdir={workdir}"]) == 0
    return folder


@pytest.mark.parametrize(
    "command", [c for c in commands() if re.match(r"-m mpl_tf\.(evaluate|export|predict) ", c)]
)
def test_a_trained_network_is_used_as_the_pages_say(command, finished, image_folder, monkeypatch):
    monkeypatch.chdir(finished)
    if not (finished / "pictures").exists():
        (finished / "pictures").symlink_to(image_folder / "my_images" / "unlabeled")
    _, module, *arguments = shlex.split(command)
    verb = {"evaluate": evaluate, "export": export, "predict": predict}[module.split(".")[1]]
    assert verb.main(arguments) == 0


@pytest.mark.parametrize("command", commands_of("-m mpl_tf.select"))
def test_selections_are_understood(command):
    with contextlib.suppress(cli.HelpRequested):
        cli.parser(select.COMMAND, select.Options)(shlex.split(command)[2:])


def loaded(script):
    """The module of a tool."""
    spec = importlib.util.spec_from_file_location(pathlib.Path(script).stem, ROOT / script)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


class Understood(Exception):  # noqa: N818 - it is no error
    """The arguments of a tool were parsed."""


# These hand what they do not know to the training flags; their own tests run them.
_TAKE_FLAGS = (
    "tools/describe.py",
    "tools/encoders.py",
    "tools/export_step.py",
    "tools/export_training.py",
    "tools/import_training.py",
)


@pytest.mark.parametrize(
    "command", [c for c in commands_of("tools/") if not c.startswith(_TAKE_FLAGS)]
)
def test_arguments_of_tools_are_understood(command, example, monkeypatch):
    script, *arguments = shlex.split(command.replace(" NAME ", " cifar10 "))
    monkeypatch.syspath_prepend(str((ROOT / script).parent))
    tool = loaded(script)
    parse = tool.argparse.ArgumentParser.parse_args

    def parse_and_stop(parser, *args, **kwargs):
        parse(parser, *args, **kwargs)
        raise Understood

    monkeypatch.setattr(tool.argparse.ArgumentParser, "parse_args", parse_and_stop)
    with pytest.raises(Understood):
        tool.main(arguments)


def test_the_method_of_the_page_has_a_row_in_the_table(example):
    tool = loaded("tools/library_map.py")
    (row,) = [line for line in tool.methods_table().splitlines() if line.startswith("| `entropy`")]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "`entropy`",
        "`Entropy`",
        "Predictions on unlabeled images are trained towards low entropy.",
        "Grandvalet & Bengio, NeurIPS 2004",
        "student B + U",
    ]


def test_the_page_of_networks_has_every_form_of_their_names():
    page = text_of(DOCS / "networks.md")
    for architecture in (*NETWORKS.values(), applications.ARCHITECTURE):
        assert architecture.forms
        for form in architecture.forms:
            assert f"`{form}`" in page, form


def test_the_method_of_the_page_trains(example, tmp_path):
    (lines,) = blocks(METHOD_PAGE, "text")
    file = tmp_path / "entropy.flags"
    file.write_text(lines, encoding="utf-8")
    small = ["--network=mlp", "--steps=20", "--labeled_batch=10", "--unlabeled_ratio=2"]
    made = flags.parse([f"--flagfile={file}", *small]).config
    assert made.run.method == "entropy" and made.flat()["entropy_weight"] == 0.1
    assert not config.applies("strong", "entropy")
    source = data.find("digits", "").load(made.data)
    experiment = build(made, make_split(made, source), "")
    assert isinstance(experiment.method, example.Entropy)
    history = experiment.method.fit(
        experiment.batches("train", 0), steps_per_epoch=10, epochs=2, verbose=0
    ).history
    assert np.isfinite(list(history.values())).all()
    assert history["student_loss"][1] < history["student_loss"][0]
    assert example.Entropy.panels[0].curves.keys() <= history.keys()


def test_the_test_of_the_page_passes(example, linear, random_batch, endless):
    example.test_without_weight_it_is_supervised_learning(linear, random_batch, endless)


def test_the_example_in_the_docstring_of_the_page_runs(example, rng):
    code = textwrap.dedent(inspect.getdoc(example.Entropy).partition("Example:\n")[2])
    labels = np.full(80, -1)
    labels[:16] = np.arange(16) % 4
    images = rng.integers(0, 256, (80, 8, 8, 3)).astype(np.uint8)
    names = {"mpl_tf": mpl_tf, "images": images, "labels": labels}
    exec(code.replace("steps_per_epoch=100", "steps_per_epoch=2"), names)
    assert names["probabilities"].shape == (80, 4)
