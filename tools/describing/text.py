"""A description for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

# Bytes below which single pieces of memory matter.
_SMALL = 64 * 2**20


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
        name = f"{_way(each)} on one device" if each["stages"] else _way(each)
        cells = [name, f"{each['multiply_adds'] / 1e9:,.1f}", *(size(each[k]) for k in keys)]
        if measured:
            peak = each["measured_peak_bytes"]
            cells += [size(peak), f"{each['peak_bytes'] / peak:.2f}"]
        table.append(cells)
    text += ["", *_aligned(table)]
    for each in steps:
        text += _of_stages(each)
    return [*text, *_doubts(steps)]


def _of_stages(step):
    devices = step["stages"]
    if not devices:
        return []
    total = sum(each["multiply_adds"] for each in devices)
    heads = ["", "parameters", "of the multiply-adds", "variables", "batch", "kept", "working"]
    keys = ("variable_bytes", "batch_bytes", "kept_bytes", "working_bytes", "peak_bytes")
    table = [[*heads, "peak"]]
    for place, each in enumerate(devices):
        share = f"{100 * each['multiply_adds'] / total:.1f}%"
        parameters = f"{each['trainable_parameters']:,}"
        table.append([f"device {place}", parameters, share, *(size(each[k]) for k in keys)])
    return ["", f"{_way(step)}, {len(devices)} devices:", *_aligned(table)]


def _doubts(steps):
    """What is known to be farther off than 15%."""
    steps = [each for each in steps if not each["stages"]]
    loose = [_way(each) for each in steps if not each["passes_wait"]]
    parts = [_way(each) for each in steps if each["accumulate_steps"] > 1]
    small = [_way(each) for each in steps if each["peak_bytes"] < _SMALL]
    doubts = []
    if loose:
        doubts += [
            f"* {'; '.join(loose)}: not all passes wait for those before.",
            "  TensorFlow runs them in an order of its own, another one in each run; 0.7 to 0.95",
            "  of this peak was measured. --recompute and --accumulate_steps put them in order.",
        ]
    if parts:
        doubts += [
            f"* {'; '.join(parts)}: microbatches overlap a little;",
            "  0.95 to 1.35 of this peak was measured.",
        ]
    if small:
        doubts += [
            f"* {'; '.join(small)}: a peak of less than",
            "  64 MiB depends on what pieces of memory are free; 0.8 to 1.2 of it was measured.",
        ]
    return ["", *doubts] if doubts else []


def size(count: int) -> str:
    """Bytes in the unit that suits them."""
    for unit, bytes_of in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= bytes_of:
            return f"{count / bytes_of:,.1f} {unit}"
    return f"{count / 2**10:,.1f} KiB"


def _way(step: Mapping[str, Any]) -> str:
    parts = [step["precision"]]
    if step["stages"]:
        parts.append(f"stages={len(step['stages'])}")
    elif step["recompute"]:
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
