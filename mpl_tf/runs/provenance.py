"""What a result was computed with: versions of packages, and the commit."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess


def versions() -> dict[str, str]:
    """Package name -> version of what a result depends on."""
    packages = ("mpl_tf", "tensorflow", "keras", "numpy", "scikit-learn", "tensorflow-datasets")
    installed = {"python": platform.python_version()}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def git_revision() -> str | None:
    """The commit of the checkout that this package lies in; None outside of one.

    It ends with "-dirty" if something was changed since.
    """
    here = os.path.dirname(os.path.abspath(__file__))

    def git(*arguments):
        command = ["git", "-C", here, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", os.path.basename(__file__))  # not some outer repository
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None
