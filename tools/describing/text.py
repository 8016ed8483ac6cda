"""A description for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any


def lines(description: Mapping[str, Any]) -> list[str]:
    """The text of what `rows.describe` gives."""
    shape = "x".join(map(str, description["image_shape"]))
    text = [
        f"{description['network']}: images of {shape}, {description['num_classes']} classes",
        f"  {description['trainable_parameters']:,} trainable parameters, "
        f"{description['other_values']:,} other values",
        f"  {description['multiply_adds']:,} multiply-adds an image",
    ]
    for precision, each in description["activation_bytes"].items():
        text.append(
            f"  activations an image, {precision}: {size(each['inference'])} in use, "
            f"{size(each['kept'])} kept for a gradient"
        )
    text += [
        "",
        f"A step of {description['method']}, {description['labeled_batch']} labeled images and "
        f"{description['unlabeled_batch']} unlabeled ones:",
    ]
    steps = description["steps"]
    for each in _first_of(steps):
        text.append(f"  {_way(each)}: {_passes(each['passes'])}")
    heads = ["", "10^9 multiply-adds", "variables", "batch", "working", "peak"]
    keys = ("variable_bytes", "batch_bytes", "working_bytes", "peak_bytes")
    measured = any("measured_peak_bytes" in each for each in steps)
    if measured:
        heads += ["measured", "peak / measured"]
    table = [heads]
    for each in steps:
        cells = [_way(each), f"{each['multiply_adds'] / 1e9:,.1f}", *(size(each[k]) for k in keys)]
        if measured:
            peak = each["measured_peak_bytes"]
            cells += [size(peak), f"{each['peak_bytes'] / peak:.2f}"]
        table.append(cells)
    return [*text, "", *_aligned(table)]


def size(count: int) -> str:
    """Bytes in the unit that suits them."""
    for unit, bytes_of in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= bytes_of:
            return f"{count / bytes_of:,.1f} {unit}"
    return f"{count / 2**10:,.1f} KiB"


def _way(step: Mapping[str, Any]) -> str:
    parts = [step["precision"]]
    if step["recompute"]:
        parts.append("recompute")
    if step["accumulate_steps"] > 1:
        parts.append(f"accumulate_steps={step['accumulate_steps']}")
    return ", ".join(parts)


def _first_of(steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first step of each sum of passes."""
    by_passes: dict[str, Mapping[str, Any]] = {}
    for step in steps:
        by_passes.setdefault(_passes(step["passes"]), step)
    return list(by_passes.values())


def _passes(passes: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{each['network']} {each['pass']} {each['images']:,}" for each in passes)


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
