"""What a result was computed with: versions of packages, and the commit."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess


def versions():
    """dict of package name -> version of what a result depends on."""
    packages = ("mpl_tf", "tensorflow", "keras", "numpy", "scikit-learn", "tensorflow-datasets")
    found = {"python": platform.python_version()}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def git_revision():
    """The commit of this package's own checkout, with "-dirty" if it was changed; None outside."""
    here = os.path.dirname(os.path.abspath(__file__))

    def git(*arguments):
        command = ["git", "-C", here, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", os.path.basename(__file__))  # not some outer repository
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None
