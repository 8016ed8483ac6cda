#!/usr/bin/env python3
"""The maps of the library in README.md and docs/README.md, and docs/methods.md's table, from code.

    python tools/library_map.py             prints all
    python tools/library_map.py --write     puts each into its page, between two markers

A room is a folder of `mpl_tf/`; its line is the first line of its docstring, and the map of docs/
has the names of its modules below it. Rooms stand in the
order of `LEVELS` in tests/contract/test_imports.py, users above what they use. A method's row has
the first line of its class's docstring, its `passes_per_step`, and the paper, which is what the
first line of its module's docstring has in parentheses.
"""

import argparse
import ast
import pathlib
import re
import sys
import textwrap
from collections.abc import Sequence

from mpl_tf import console

if __name__ == "__main__":
    console.start(sys.argv)  # first, because it imports TensorFlow without its messages

from mpl_tf.engine.method import Method
from mpl_tf.methods import METHODS

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "mpl_tf"
COMMAND = "python tools/library_map.py --write"
WIDTH = 100
INDENT = 15


def levels() -> tuple[tuple[str, ...], ...]:
    """Names of rooms and of modules at the top of the package, from the bottom up."""
    test = ROOT / "tests" / "contract" / "test_imports.py"
    for node in ast.parse(test.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LEVELS":
            return ast.literal_eval(node.value)
    raise ValueError(f"{test} has no LEVELS.")


def first_line(module: pathlib.Path) -> str:
    """The first line of a module's docstring.

    Raises:
      ValueError: the module has none.
    """
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{module} has no docstring.")
    return docstring.splitlines()[0]


def entry(name: str, text: str) -> list[str]:
    """Lines with a name on the left and a text on the right."""
    name, indent = f"{name:{INDENT}}", " " * INDENT
    return textwrap.wrap(text, WIDTH, initial_indent=name, subsequent_indent=indent)


def room_entry(folder: pathlib.Path, with_modules: bool) -> list[str]:
    """A room: its name and sentence, its modules if they are asked for, and the rooms in it."""
    modules = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    lines = entry(f"{folder.relative_to(PACKAGE).as_posix()}/", first_line(folder / "__init__.py"))
    if with_modules:
        indent = " " * 4
        lines += textwrap.wrap(
            " ".join(modules), WIDTH, initial_indent=indent, subsequent_indent=indent
        )
    for inner in sorted(folder.iterdir()):
        if (inner / "__init__.py").exists():
            lines += room_entry(inner, with_modules)
    return lines


def library_map(with_modules: bool = True) -> str:
    """The map as lines of text, without the markers.

    Args:
      with_modules: whether rooms have the names of their modules below them.
    """
    lines = []
    for level in reversed(levels()):
        for name in level:
            module = PACKAGE / f"{name}.py"
            if module.exists():
                lines += entry(module.name, first_line(module))
            else:
                lines += room_entry(PACKAGE / name, with_modules)
    return "\n".join(lines)


def methods_table() -> str:
    """A Markdown table with a row for each of `METHODS`, without the markers."""
    lines = [
        "| `--method=` | `mpl_tf.` | what it does | paper | images a step |",
        "|---|---|---|---|---|",
    ]
    for name, method in METHODS.items():
        sentence = (method.__doc__ or "").partition("\n")[0]
        cells = (f"`{name}`", f"`{method.__name__}`", sentence, paper(method))
        lines.append(f"| {' | '.join(cells)} | {method.passes_per_step} |")
    return "\n".join(lines)


def paper(method: type[Method]) -> str:
    """The paper that a method's module names, with a link to arXiv; "" if it names none."""
    title = (sys.modules[method.__module__].__doc__ or "").partition("\n")[0]
    source = re.search(r"\((.*?)\)", title)
    link = r"[\1](https://arxiv.org/abs/\1)"
    return re.sub(r"arXiv (\d+\.\d+)", link, source[1]) if source else ""


# Page -> (what its marker calls the generated part, what makes that part).
PAGES = {
    ROOT / "README.md": ("map", lambda: f"```\n{library_map(with_modules=False)}\n```"),
    ROOT / "docs" / "README.md": ("map", lambda: f"```\n{library_map()}\n```"),
    ROOT / "docs" / "methods.md": ("table", methods_table),
}


def renewed(text: str, subject: str, part: str) -> str:
    """A page's text with another generated part between its markers.

    Args:
      text: of the page.
      subject: what the markers call the part.
      part: the lines between the markers.

    Raises:
      ValueError: a marker is missing.
    """
    begin, end = f"<!-- The {subject}: {COMMAND} makes it. -->", f"<!-- End of the {subject}. -->"
    before, first, after = text.partition(begin)
    _, last, after = after.partition(end)
    if not first or not last:
        raise ValueError(f"the page must have the lines {begin} and {end}.")
    return f"{before}{begin}\n{part}\n{end}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command, as the module says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the pages, print nothing")
    write = parser.parse_args(arguments).write
    for page, (subject, make) in PAGES.items():
        if write:
            text = page.read_text(encoding="utf-8")
            page.write_text(renewed(text, subject, make()), encoding="utf-8")
        else:
            print(make())


if __name__ == "__main__":
    main()
