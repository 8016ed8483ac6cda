"""How much memory there is, for sizes that are checked before they are allocated."""

import pathlib

import psutil

# Limit and use of a container, in bytes: of control groups, version 2 and 1.
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available() -> int:
    """Bytes that can still be allocated, by the system and by the container the process is in."""
    least = psutil.virtual_memory().available
    for limit, use in _GROUPS:
        try:
            numbers = [int(pathlib.Path(path).read_text()) for path in (limit, use)]
        except (OSError, ValueError):  # there is none, or "max"
            continue
        least = min(least, max(0, numbers[0] - numbers[1]))
    return least
