"""A description for the terminal."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

_WIDTH = 100


def lines(description: Mapping[str, Any]) -> list[str]:
    """The text of what `rows.describe` gives."""
    shape = "x".join(map(str, description["image_shape"]))
    text = [
        f"{description['network']}: images of {shape}, {description['num_classes']:,} classes",
        *_assumed(description),
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
        *_defaults(description),
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
    return [*text, *_caveats(steps)]


def _assumed(description):
    """A line on what neither flags nor the dataset say of the images, if there is anything."""
    names = description["assumed"]
    if not names:
        return []
    side, _, channels = description["image_shape"]
    values = {
        "image_size": f"{side}x{side} pixels",
        "channels": f"{channels} channels",
        "num_classes": f"{description['num_classes']:,} classes",
    }
    flags = ", ".join(f"--{name}" for name in names)
    text = f"assumed: {', '.join(values[name] for name in names)}; --dataset says it, or {flags}"
    return [f"  {text}"]


def _defaults(description):
    """A line on the sizes of the batch that nobody set, if there are any."""
    sizes = " ".join(f"--{name}={size}" for name, size in description["defaults"].items())
    return [f"  by default, as for --dataset={description['dataset']}: {sizes}"] if sizes else []


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
    networks = sorted({each["network"] for each in step["passes"]})
    together = ", which are counted together" if len(networks) > 1 else ""
    stages = f"each with its stage of {' and '.join(networks)}{together}"
    return ["", f"{_way(step)}, {len(devices)} devices, {stages}:", *_aligned(table)]


def _caveats(steps):
    """The caveats of all steps, each with those that have it."""
    ways: dict[str, list[str]] = {}
    for step in steps:
        for caveat in step["caveats"]:
            ways.setdefault(caveat, []).append(_way(step))
    text = [""] if ways else []
    for caveat, of in ways.items():
        text += _wrapped(f"* {'; '.join(of)}: {caveat}", indent="  ")
    return text


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)


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
