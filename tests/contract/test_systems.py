"""The library is no program of one system: it imports, and reads and writes, on Windows too."""

import ast
import pathlib
import subprocess
import sys

import pytest

import mpl_tf

PACKAGE = pathlib.Path(mpl_tf.__file__).parent
TOOLS = PACKAGE.parent / "tools"
# Modules of Python's that Windows, or Unix, does not have.
MODULES = {"fcntl", "grp", "msvcrt", "posix", "pty", "pwd", "readline", "resource", "syslog"}
MODULES |= {"termios", "tty", "winreg"}
# What os, signal and socket do not have on Windows.
NAMES = {
    "os": """O_CLOEXEC O_DIRECTORY O_NOCTTY O_NOFOLLOW O_NONBLOCK O_SYNC WEXITSTATUS chown chroot
        fchdir fchown fdatasync fork forkpty getegid geteuid getgid getgroups getloadavg getpgid
        getpgrp getpriority getsid getuid killpg lchown lockf mkfifo mknod nice openpty
        posix_spawn pread preadv pwrite sched_getaffinity sched_setaffinity sendfile setgid setpgid
        setpriority setsid setuid statvfs sync sysconf ttyname uname wait wait3 wait4""",
    "signal": """SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1
        SIGUSR2 alarm getitimer pause pthread_kill pthread_sigmask setitimer sigwait""",
    "socket": "AF_UNIX SO_REUSEPORT fromfd",
}
# Imports every module, as where those are missing. What other packages import is their own.
IMPORTS_ALL = """
import builtins, importlib, pkgutil
import mpl_tf

def import_as_elsewhere(name, globals=None, *more, **named):
    importer = (globals or {}).get("__name__", "")
    if name.partition(".")[0] in MODULES and importer.partition(".")[0] == "mpl_tf":
        raise ModuleNotFoundError(f"{importer} imports {name}")
    return real_import(name, globals, *more, **named)

real_import = builtins.__import__
builtins.__import__ = import_as_elsewhere
names = [module.name for module in pkgutil.walk_packages(mpl_tf.__path__, "mpl_tf.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def sources(folder):
    """(path, ast.Module) of every Python file."""
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_every_module_imports_where_modules_of_one_system_are_missing():
    command = [sys.executable, "-c", f"MODULES = {MODULES}\n{IMPORTS_ALL}"]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr[-500:]
    files = [path for path, _ in sources(PACKAGE)]
    assert int(child.stdout) == len(files) - 1  # all but mpl_tf itself


def names_of_one_system(tree):
    """What a file imports or reads of these modules that other systems do not have."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from MODULES & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = NAMES.get(node.module, "").split()
            yield from MODULES & {node.module}
            yield from {alias.name for alias in node.names}.intersection(names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield from {node.attr}.intersection(NAMES.get(node.value.id, "").split())


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("import os, fcntl", ["fcntl"]),
        ("from resource import getrusage", ["resource"]),
        ("from os import fork", ["fork"]),
        ("os.kill(child, signal.SIGKILL)", ["SIGKILL"]),
        ("size = os.path.getsize(os.sync.path)", ["sync"]),
        ("signal.signal(signal.SIGTERM, stop)", []),
    ],
)
def test_what_belongs_to_one_system_is_seen(line, names):
    assert list(names_of_one_system(ast.parse(line))) == names


def test_the_library_uses_nothing_that_windows_lacks():
    used = {path: set(names_of_one_system(tree)) for path, tree in sources(PACKAGE)}
    assert {path: names for path, names in used.items() if names} == {}


def test_tools_are_imported_without_what_windows_lacks():
    """Inside a function, and in a `try` for it, they may use more of the system."""
    for path, tree in sources(TOOLS):
        at_import = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert not set(names_of_one_system(ast.Module(at_import, []))), path
