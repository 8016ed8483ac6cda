"""Every public function says what types it takes and gives."""

import ast
import pathlib

import pytest

import mpl_tf

PACKAGE = pathlib.Path(mpl_tf.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def public_functions(body):
    """Functions of a module or class that others may call, and those of its public classes."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("_") or node.name in ("__init__", "__call__"):
                yield node
        else:  # in a condition, for example
            yield from public_functions(getattr(node, "body", ()) if is_block(node) else ())


def is_block(node):
    return isinstance(node, ast.If | ast.With | ast.Try)


def unannotated(function):
    """Names of arguments, and "return", that have no type."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += filter(None, (arguments.vararg, arguments.kwarg))
    missing = [a.arg for a in named if a.annotation is None and a.arg not in ("self", "cls")]
    if function.returns is None and function.name != "__init__":
        missing.append("return")
    return missing


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_functions_are_annotated(path):
    functions = public_functions(ast.parse(path.read_text(encoding="utf-8")).body)
    missing = {f"{f.name}, line {f.lineno}": unannotated(f) for f in functions}
    assert not {name: arguments for name, arguments in missing.items() if arguments}
