"""The candidates side by side: a table and a picture, with intervals."""

import dataclasses
from collections.abc import Sequence

from matplotlib.figure import Figure

from mpl_tf import console
from mpl_tf.auto import tables
from mpl_tf.auto.estimates import Difference, Estimate
from mpl_tf.runs import drawing

_ROW = 0.42  # inches
_FAILED = "its training on all labels failed"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One that was tried.

    Attributes:
      name: by which it is told from others.
      estimate: its accuracy on held-out images; None if none could be held out.
      seconds: that it took.
      difference: from the one that is delivered, image by image; None of that one itself.
      failure: why its training on all labels failed; "" if it did not, or was not needed.
    """

    name: str
    estimate: Estimate | None
    seconds: float
    difference: Difference | None = None
    failure: str = ""


def text(candidates: Sequence[Candidate], first: str = "delivered") -> str:
    """A table for the terminal, the delivered one first.

    Args:
      candidates: at least one, of which the first is delivered.
      first: what is said of that one, such as "ahead" as long as it may fail.
    """
    rows = []
    for candidate in candidates:
        words = first if candidate is candidates[0] else ""
        if candidate.difference is not None:
            words = f"{candidate.difference}: {candidate.difference.words}"
        if candidate.failure:
            words += f"; {_FAILED}"
        accuracy = "not measured"
        if candidate.estimate is not None:
            accuracy = str(candidate.estimate)
        rows.append(
            (candidate.name, f"{accuracy}  {console.duration(candidate.seconds)}  {words}".rstrip())
        )
    return console.table(rows)


def write(path: str, candidates: Sequence[Candidate]) -> None:
    """`candidates.csv`: what `text` has, in numbers.

    Raises:
      OSError: it cannot be written.
    """
    header = ("candidate", "accuracy", "standard_error", "images", "low", "high", "seconds")
    rows = []
    for candidate in candidates:
        measured: tuple[object, ...] = ("",) * 5
        if (estimate := candidate.estimate) is not None:
            measured = (estimate.accuracy, estimate.error, estimate.images, *estimate.interval)
        differs: tuple[object, ...] = ("", "", "delivered" if candidate is candidates[0] else "")
        if candidate.difference is not None:
            difference = candidate.difference
            differs = (difference.mean, difference.error, difference.words)
        seconds = float(candidate.seconds)
        rows.append((candidate.name, *measured, seconds, *differs, candidate.failure))
    differences = ("difference", "difference_standard_error", "compared_with_the_delivered")
    tables.write(path, (*header, *differences, "failure"), rows)


def draw(path: str, title: str, candidates: Sequence[Candidate]) -> bool:
    """Draws accuracies with their intervals, the delivered candidate first and in colour.

    At the right is how each differs from it, image by image: intervals that overlap may be of
    candidates that differ.

    Args:
      path: the PNG to write.
      title: of the picture.
      candidates: as for `text`; those without an estimate are left out.

    Returns:
      Whether it was drawn. What cannot be drawn stops nothing.

    Raises:
      OSError: it was drawn and cannot be written.
    """
    return drawing.save(path, lambda: _intervals(title, candidates))


def _intervals(title: str, candidates: Sequence[Candidate]) -> Figure:
    measured = [c for c in candidates if c.estimate is not None]
    figure = Figure(figsize=(9, 1.4 + _ROW * max(len(measured), 1)), layout="constrained")
    axes = figure.subplots()
    axes.set_title(drawing.short(title, 100), fontsize=11)
    for row, candidate in enumerate(measured):
        assert candidate.estimate is not None
        low, high = candidate.estimate.interval
        color = drawing.NETWORK_COLORS["finetuned"] if candidate is candidates[0] else "gray"
        axes.plot([100 * low, 100 * high], [row, row], color=color, linewidth=2)
        accuracy = 100 * candidate.estimate.accuracy
        axes.plot([accuracy], [row], "o", color=color)
        axes.annotate(
            f"{accuracy:.1f}",
            (accuracy, row),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=color,
        )
        words = "delivered" if candidate is candidates[0] else ""
        if candidate.difference is not None:
            words = f"{candidate.difference.words}\n{candidate.difference}"
        if candidate.failure:
            words += f"\n{_FAILED}"
        axes.text(
            1.02,
            row,
            words,
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=9,
            color=color,
        )
    if measured and measured[0] is candidates[0]:
        assert measured[0].estimate is not None
        axes.axvline(
            100 * measured[0].estimate.accuracy, color="gray", linewidth=0.8, linestyle=":"
        )
    names = [f"{drawing.short(c.name, 40)}  ({console.duration(c.seconds)})" for c in measured]
    axes.set_yticks(range(len(measured)), names)
    axes.set_ylim(len(measured) - 0.4, -0.7)
    axes.set_xlabel("accuracy on held-out labeled images, percent; 95% intervals")
    axes.grid(axis="x", alpha=0.3)
    return figure
