"""What a user should know of a dataset before training, as lines of text."""

import collections

import numpy as np

from checking.reading import PARTS, Dataset
from mpl_tf import console
from mpl_tf.data import duplicates

_ROWS = 40  # of the table of classes
_NAMED = 10  # broken images
_UNEQUAL = 3  # times as many images of one class as of another


def describe(dataset: Dataset) -> tuple[list[str], list[str]]:
    """(lines, faults): all that is known; and, of it, what should be repaired before training."""
    faults = _faults(dataset)
    lines = [
        f"{_sizes(dataset)} images, {len(dataset.class_names)} classes",
        "",
        *_classes(dataset),
        "",
        console.table(
            [
                ("sizes", _pixels(dataset)),
                ("channels", _channels(dataset)),
                ("formats", _counts(np.concatenate(list(dataset.formats.values())))),
                ("left out", dataset.left_out or "no file"),
                ("broken", f"{len(dataset.broken):,}"),
                ("copies", _copies(dataset)),
                ("balance", _balance(dataset)),
            ]
        ),
        "",
    ]
    if faults:
        lines += ["To be repaired:", *(f"  {fault}" for fault in faults)]
    else:
        lines.append("Nothing to be repaired")
    return lines, faults


def _sizes(dataset):
    return ", ".join(f"{len(part):,} {name}" for name, part in dataset.contents.items())


def _classes(dataset):
    """The table of classes; of many, those with the fewest labeled images."""
    parts = [part for part in PARTS if part in dataset.contents and part != "unlabeled"]
    counts = np.stack([_per_class(dataset, part) for part in parts])
    order = np.arange(len(dataset.class_names))
    if len(order) > _ROWS:
        order = np.sort(np.argsort(counts[0], kind="stable")[:_ROWS])
    width = max(len(dataset.class_names[k]) for k in order)
    lines = ["  ".join([f"  {'class':<{width}}", *(f"{part:>10}" for part in parts)])]
    for k in order:
        numbers = [f"{count:>10,}" for count in counts[:, k]]
        lines.append("  ".join([f"  {dataset.class_names[k]:<{width}}", *numbers]))
    if len(order) < len(dataset.class_names):
        lines.append(
            f"  and {len(dataset.class_names) - _ROWS} with as many labeled images or more"
        )
    return lines


def _per_class(dataset, part):
    return np.bincount(dataset.contents[part].labels, minlength=len(dataset.class_names))


def _pixels(dataset):
    shapes = np.concatenate(list(dataset.shapes.values()))[:, :2]
    if not len(shapes):
        return "none"
    sizes = np.unique(shapes, axis=0)
    first, *_, last = sizes[np.argsort(sizes.prod(axis=1), kind="stable")][[0, -1]].tolist()
    if len(sizes) == 1:
        return f"all {_size(first)}"
    short, area = shapes.min(axis=1), shapes.prod(axis=1)
    cut = 1 - np.median(short**2 / area)
    return (
        f"{len(sizes):,}, from {_size(first)} to {_size(last)} (height x width); shorter side: "
        f"median {np.median(short):.0f}; outside the middle square: median {cut:.0%} of an image"
    )


def _size(shape):
    return "x".join(map(str, shape))


def _channels(dataset):
    grey = {part: int((shapes[:, 2] == 1).sum()) for part, shapes in dataset.shapes.items()}
    total = sum(map(len, dataset.shapes.values()))
    if sum(grey.values()) in (0, total):
        return "all grey" if sum(grey.values()) else "all in colour"
    counts = f"{sum(grey.values()):,} of {total:,} grey"
    if grey["labeled"] == len(dataset.shapes["labeled"]):
        return f"{counts}; all labeled ones are, so all are read as grey"
    return f"{counts}, which are read as colour with three equal channels"


def _counts(values):
    counts = collections.Counter(values.tolist()).most_common()
    return ", ".join(f"{count:,} {value}" for value, count in counts) or "none"


def _copies(dataset):
    """Harmless ones: within parts, and labeled images among the unlabeled."""
    texts = [
        f"{count:,} within {part}"
        for part, contents in dataset.contents.items()
        if (count := duplicates.repeated(contents))
    ]
    if "unlabeled" in dataset.contents:
        rows, _ = duplicates.shared(dataset.contents["labeled"], dataset.contents["unlabeled"])
        texts += [f"{len(rows):,} labeled images are in unlabeled too"] if len(rows) else []
    return ", ".join(texts) or "none"


def _balance(dataset):
    counts = _per_class(dataset, "labeled")
    least, most = int(counts.argmin()), int(counts.argmax())
    if counts[least] == counts[most]:
        return f"{counts[least]:,} labeled images of each class"
    text = (
        f"from {counts[least]:,} labeled images ({dataset.class_names[least]}) to "
        f"{counts[most]:,} ({dataset.class_names[most]})"
    )
    if counts[most] >= _UNEQUAL * counts[least]:
        text += "; --class_weight=balanced evens that out in losses on labels"
    return text


def _faults(dataset):
    """What should be repaired."""
    texts = [f"{name} {fault}" for name, fault in dataset.broken[:_NAMED]]
    if len(dataset.broken) > _NAMED:
        texts.append(f"{len(dataset.broken) - _NAMED:,} more broken images")
    empty = np.flatnonzero(_per_class(dataset, "labeled") == 0)
    texts += [f"class {dataset.class_names[k]} has no readable labeled image" for k in empty]
    texts += duplicates.leaks(dataset.contents)
    for part, contents in dataset.contents.items():
        for rows in duplicates.contradictions(contents)[:_NAMED]:
            named = [
                f"{name} ({dataset.class_names[label]})"
                for name, label in zip(contents.names[rows], contents.labels[rows], strict=True)
            ]
            texts.append(f"{part}: the same image has several labels: {', '.join(named[:_NAMED])}")
    return texts
