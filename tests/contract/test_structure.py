"""How methods and what carries them are written, read from their source."""

import ast
import dataclasses
import inspect
import pathlib
import re

import pytest

import mpl_tf
from mpl_tf.config.config import GROUPS, features
from mpl_tf.config.groups import RunConfig
from mpl_tf.engine.feedback_method import FeedbackConfig
from mpl_tf.engine.method import MethodConfig
from mpl_tf.methods import METHODS
from mpl_tf.runs import folder

PACKAGE = pathlib.Path(mpl_tf.__file__).parent
TREES = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.stat().st_size
}
METHOD_FILES = [path for path in TREES if path.parent.name == "methods" and path.stem != "__init__"]
# What StudentMethod does for a method, by the names it has in code.
STEP = re.compile(
    r"optimizer|loss_scal|scale_loss|scale_of|update_ema|^iterations$|GradientTape|logs"
)
MOVE = re.compile(r"assign|set_weights")
# Functions that may name it: a round of Noisy Student has an optimizer of its own.
EXCEPTIONS = {"noisy_student": {"compile"}}


def identifiers(tree, without=()):
    """Every name in code; docstrings, other strings and the functions `without` do not count."""
    if isinstance(tree, ast.FunctionDef) and tree.name in without:
        return
    for field in ("id", "attr", "arg", "name"):
        if isinstance(getattr(tree, field, None), str):
            yield getattr(tree, field)
    for child in ast.iter_child_nodes(tree):
        yield from identifiers(child, without)


def assigned(tree):
    """The dotted names whose values a file changes by `assign` and its like."""
    for node in ast.walk(tree):
        function = getattr(node, "func", None)
        if isinstance(function, ast.Attribute) and MOVE.match(function.attr):
            yield ast.unparse(function.value)


@pytest.mark.parametrize("path", METHOD_FILES, ids=lambda path: path.stem)
def test_a_method_leaves_the_step_to_student_method(path):
    """No optimizer, loss scale, moving average, step counter or list of names of logs."""
    if path.stem in ("meta_pseudo_labels", "reduced_mpl"):  # they have steps of their own
        return
    names = identifiers(TREES[path], EXCEPTIONS.get(path.stem, ()))
    assert not {name for name in names if STEP.search(name)}
    moved = {name.split(".")[1] for name in assigned(TREES[path]) if name.startswith("self.")}
    assert not moved & {"step", "seed", "ema", "student", "teacher"}


def test_fixmatch_fits_on_a_screen():
    (tree,) = (tree for path, tree in TREES.items() if path.stem == "fixmatch")
    (method,) = (node for node in tree.body if getattr(node, "name", "") == "FixMatch")
    docstring = method.body[0]
    assert ast.get_docstring(method)
    lines = docstring.lineno - method.lineno + method.end_lineno - docstring.end_lineno
    assert lines <= 45


def test_methods_holds_methods_and_nothing_else():
    """Each file has one method, its configuration, and what is private to it."""
    modules = {f"mpl_tf.methods.{path.stem}": TREES[path] for path in METHOD_FILES}
    assert modules.keys() == {method.__module__ for method in METHODS.values()}
    for method in METHODS.values():
        tree = modules[method.__module__]
        classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        public = {name for name in classes if not name.startswith("_")}
        assert public == {method.__name__, method.Config.__name__}


@pytest.mark.parametrize("method", METHODS.values())
def test_a_method_takes_num_unlabeled_if_it_says_so(method):
    takes_it = "num_unlabeled" in inspect.signature(method).parameters
    assert takes_it == method.needs_num_unlabeled()


def classes(*rooms):
    """(name, ast.ClassDef) of every class of the package, or of some of its rooms."""
    trees = [tree for path, tree in TREES.items() if not rooms or path.parent.name in rooms]
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield node.name, node


def bases(node):
    return [ast.unparse(base).rpartition(".")[2] for base in node.bases]


def is_final(node):
    return any(ast.unparse(each).endswith("final") for each in node.decorator_list)


def is_abstract(node):
    return (ast.get_docstring(node) or "").startswith("Abstract")


def test_every_class_is_abstract_or_final():
    """A class that others extend says that it is abstract; one that extends it, that it is final.

    Configurations are no classes of behaviour: those of methods are leaves without the mark.
    """
    defined = dict(classes())
    extended = {base for node in defined.values() for base in bases(node)} & defined.keys()
    assert {"Trainer", "Method", "StudentMethod", "MethodConfig"} <= extended
    assert {name for name in extended if not is_abstract(defined[name])} == set()
    assert {name for name in extended if is_final(defined[name])} == set()
    leaves = {
        name: node
        for name, node in classes("engine", "methods")
        if set(bases(node)) & extended and not any(b.endswith("Config") for b in bases(node))
    }
    assert {n for n, node in leaves.items() if not (is_final(node) or is_abstract(node))} == set()


def test_what_is_abstract_is_never_made():
    abstract = {name for name, node in classes() if is_abstract(node)}
    made = {
        ast.unparse(node.func).rpartition(".")[2]
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    assert not made & abstract
    assert not {method.__name__ for method in METHODS.values()} & abstract


def test_general_code_names_no_method_and_no_hyperparameter_of_one():
    """Neither as an attribute nor as a string; recipes, and what only one method uses, may.

    The one exception is the method of a run that names none. What options of all runs are called,
    and the values that they choose from, are no method's.
    """
    groups = (*GROUPS, MethodConfig, FeedbackConfig)
    shared = [field for group in groups for field in dataclasses.fields(group)]
    shared_names = {field.name for field in shared}
    for field in shared:
        if isinstance(field.metadata["choices"], tuple):
            shared_names.update(field.metadata["choices"])
    names = {f.name for method in METHODS.values() for f in dataclasses.fields(method.Config)}
    exceptions = {"recipes", "estimators"}
    general = {
        path.relative_to(PACKAGE): tree
        for path, tree in TREES.items()
        if path.parent.name not in ("methods", "formulas") and path.stem not in exceptions
    }
    names = names - shared_names | METHODS.keys() - {folder.FINETUNE}  # a phase of all runs
    named = [
        (str(path), node.lineno, ast.unparse(node))
        for path, tree in general.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Constant)
        and (node.attr if isinstance(node, ast.Attribute) else node.value) in names
    ]
    assert [code for *_, code in named] == [repr(RunConfig.method)], named


def test_what_an_option_needs_is_something_that_methods_have():
    needs = {field.metadata["needs"] for group in GROUPS for field in dataclasses.fields(group)}
    assert needs - {""} <= set.union(*map(features, METHODS.values()))
