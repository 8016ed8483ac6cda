"""Imports go one way: a module names only modules of lower levels."""

import ast
import pathlib

import mpl_tf

PACKAGE = pathlib.Path(mpl_tf.__file__).parent
# From the bottom up; a package stands for all of its modules.
LEVELS = (
    ("options",),
    (
        "losses",
        "logits",
        "feedback",
        "schedules",
        "thresholds",
        "augment",
        "console",
        "interruption",
        "metrics",
        "stateless",
        "ensembles",
    ),
    ("networks", "data", "distribution", "evaluation", "workdir"),
    ("signatures",),
    ("saved_model",),
    ("methods",),
    ("callbacks", "metrics_log", "run_options"),
    ("config", "checkpoint", "diagnostics", "report", "sample_grid"),
    ("phases", "results"),
    ("training",),
    ("runs",),
    ("held_out",),
    ("commands", "flags"),
    ("train", "export", "predict", "evaluate"),
)


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts != ("__init__",):
            yield parts[0], path


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_a_level():
    known = {name for level in LEVELS for name in level}
    assert {name for name, _ in modules()} == known


def test_imports_only_go_down():
    level = {name: i for i, names in enumerate(LEVELS) for name in names}
    for name, path in modules():
        for target in imported(path):
            parts = target.split(".")
            if parts[0] == "mpl_tf" and len(parts) > 1 and parts[1] != name:
                assert level[parts[1]] < level[name], f"{path} imports {target}"


def test_methods_are_handed_networks_and_batches():
    for name, path in modules():
        if name == "methods":
            parts = {t.split(".")[1] for t in imported(path) if t.startswith("mpl_tf.")}
            assert not parts & {"networks", "data"}, path


def test_only_one_file_names_distribution_and_one_the_flags_library():
    for name, path in modules():
        text = path.read_text(encoding="utf-8")
        assert ("tf.distribute.get_" in text) == (name == "distribution"), path
        assert ("from absl import flags" in text) == (name == "flags"), path


def test_importing_the_package_does_not_import_tensorflow():
    import subprocess
    import sys

    code = "import sys, mpl_tf; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_there():
    for name in mpl_tf.__all__:
        assert getattr(mpl_tf, name) is not None
    assert set(mpl_tf.__all__) <= set(dir(mpl_tf))
