#!/usr/bin/env python3
"""The map of the library in README.md, made from the tree.

    python tools/library_map.py             prints it
    python tools/library_map.py --write     puts it into README.md, between its two markers

A room is a folder of `mpl_tf/`; its line is the first line of its docstring. Rooms stand in the
order of `LEVELS` in tests/contract/test_imports.py, users above what they use.
"""

import argparse
import ast
import pathlib
import textwrap
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "mpl_tf"
README = ROOT / "README.md"
BEGIN = "<!-- The map: python tools/library_map.py --write makes it. -->"
END = "<!-- End of the map. -->"
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
    first, rest = f"{name:{INDENT}}", " " * INDENT
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest)


def room_entry(folder: pathlib.Path) -> list[str]:
    """A room: its name and sentence, its modules, and the rooms inside of it."""
    modules = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    lines = entry(f"{folder.relative_to(PACKAGE).as_posix()}/", first_line(folder / "__init__.py"))
    lines += entry("", "  ".join(modules))
    for inner in sorted(folder.iterdir()):
        if (inner / "__init__.py").exists():
            lines += room_entry(inner)
    return lines


def library_map() -> str:
    """The map as lines of text, without the markers."""
    lines = []
    for level in reversed(levels()):
        for name in level:
            module = PACKAGE / f"{name}.py"
            if module.exists():
                lines += entry(module.name, first_line(module))
            else:
                lines += room_entry(PACKAGE / name)
    return "\n".join(lines)


def with_map(text: str) -> str:
    """The README's text with the map of the tree between its markers.

    Raises:
      ValueError: a marker is missing.
    """
    before, begin, after = text.partition(BEGIN)
    _, end, after = after.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md must have the lines {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n```\n{library_map()}\n```\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command, as the module says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write README.md instead of printing")
    if parser.parse_args(arguments).write:
        README.write_text(with_map(README.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(library_map())


if __name__ == "__main__":
    main()
