"""Imports go one way: a module names only modules of lower levels."""

import ast
import graphlib
import pathlib
import subprocess
import sys

import pytest

import mpl_tf

PACKAGE = pathlib.Path(mpl_tf.__file__).parent
# From the bottom up; a room stands for all of its modules.
LEVELS = (
    ("options", "console", "formulas", "forms"),
    ("files", "paths", "signals", "augment", "networks"),
    ("images", "cli"),
    ("data", "serving"),
    ("features",),
    ("pools",),
    ("engine",),
    ("methods",),
    ("config",),
    ("runs",),
    ("evaluation", "auto"),
    ("train", "export", "predict", "select", "evaluate"),
)
# Rooms that must not know each other although one is higher.
STRANGERS = (
    ("engine", "data"),
    ("engine", "features"),
    ("methods", "data"),
    ("methods", "features"),
    ("methods", "networks"),
    ("methods", "serving"),
)
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())


def modules():
    """(room, or module at the top; dotted name; path) of every module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts != ("__init__",):
            yield parts[0], ".".join(("mpl_tf", *parts)).removesuffix(".__init__"), path


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            assert "mpl_tf" not in names, f"{path}: the whole package, which may reach any room"
            yield from names
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            assert path == PACKAGE / "__init__.py", f"{path}: an import by name"
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_a_level():
    ranked = {name for level in LEVELS for name in level}
    assert {room for room, _, _ in modules()} == ranked


def test_imports_only_go_down():
    level = {name: i for i, names in enumerate(LEVELS) for name in names}
    for room, _, path in modules():
        for target in imported(path):
            parts = target.split(".")
            if parts[0] == "mpl_tf" and len(parts) > 1 and parts[1] != room:
                assert level[parts[1]] < level[room], f"{path} imports {target}"


@pytest.mark.parametrize("room", ROOMS)
def test_inside_a_room_imports_are_acyclic(room):
    """The room's own names, its __init__ too, in some order."""
    inside = {name: path for other, name, path in modules() if other == room}
    graph = {}
    for name, path in inside.items():
        # `from room.a import b` names the module room.a, and room.a.b if that is one; the room
        # itself only counts if something that it defines is imported from it.
        targets = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    targets.add(full if full in inside else node.module)
            elif isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
        graph[name] = targets & inside.keys() - {name}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_methods_are_handed_networks_and_batches():
    for room, _, path in modules():
        parts = {t.split(".")[1] for t in imported(path) if t.startswith("mpl_tf.")}
        strangers = {other for one, other in STRANGERS if one == room}
        assert not parts & strangers, path


def test_few_files_name_distribution_and_one_the_flags_library():
    for _, name, path in modules():
        text = path.read_text(encoding="utf-8")
        distributes = name in ("mpl_tf.engine.devices", "mpl_tf.engine.replicas")
        assert ("tf.distribute.get_" in text) == distributes, path
        assert ("from absl import flags" in text) == (name == "mpl_tf.cli.flags"), path


def loaded_by(statement):
    """Names of the modules that a fresh process has after a statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_importing_the_package_does_not_import_tensorflow():
    assert "tensorflow" not in loaded_by("import mpl_tf")


def test_tools_load_tensorflow_when_it_is_silenced():
    tools = PACKAGE.parent / "tools"
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(tools.glob("*.py"))}
    scripts = {name: text for name, text in texts.items() if "__main__" in text}
    # Those that do not silence it before their imports leave that to the runner of commands.
    names = [name for name, text in scripts.items() if "console.start(" not in text]
    assert {"describe", "export_training", "import_training"} <= {*names}
    loaded = loaded_by(f"sys.path.append({str(tools)!r}); import {', '.join(names)}")
    assert {*names} <= {*loaded} and "tensorflow" not in loaded


def test_a_method_loads_no_data_no_server_and_no_run():
    loaded = loaded_by("import mpl_tf.methods.fixmatch")
    assert "mpl_tf.methods.fixmatch" in loaded
    for name in ("mpl_tf.data", "mpl_tf.serving", "tensorflow_serving", "mpl_tf.runs"):
        assert not [m for m in loaded if m == name or m.startswith(f"{name}.")]


def test_only_folders_that_processes_share_need_locks():
    imports = {name: set(imported(path)) for _, name, path in modules()}
    assert [name for name, names in imports.items() if "filelock" in names] == [
        "mpl_tf.features.cache",
        "mpl_tf.pools.writing",
        "mpl_tf.runs.folder",
    ]


def test_public_names_are_there():
    for name in mpl_tf.__all__:
        assert getattr(mpl_tf, name) is not None
    assert set(mpl_tf.__all__) <= set(dir(mpl_tf))
