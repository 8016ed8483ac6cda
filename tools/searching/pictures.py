"""The picture of a search: accuracy against the strength of feedback, and what it brings where."""

import os
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpl_tf.runs import drawing
from searching import ledger, tables
from searching.choosing import FIRST_SEED, Choice
from searching.conditions import Condition
from searching.ledger import Row
from searching.pairs import Paired, paired
from searching.variants import FEEDBACK, NONE, VARIANTS

_LINE, _GAP = 0.14, 0.22  # from one interval to the next, and from one condition to the next
_CONTROLS_FROM = 2  # of VARIANTS; before them are no feedback, and exact feedback


def draw(
    path: str | os.PathLike,
    rows: Sequence[Row],
    conditions: Sequence[Condition],
    choice: Choice,
    dataset: str,
) -> None:
    """Draws what a search found; arguments as of `tables.markdown`."""
    done = ledger.finished(rows)
    drawing.save(os.fspath(path), lambda: _figure(done, conditions, choice, dataset), dpi=110)


def _figure(
    rows: Sequence[Row], conditions: Sequence[Condition], choice: Choice, dataset: str
) -> Figure:
    names = [c.name for c in conditions if tables.pairs(rows, c.name, FEEDBACK.name)[0]]
    height = max(4.2, 1.2 + 0.14 * _lines(rows, names) + 0.22 * len(names))
    figure = Figure(figsize=(12, height), layout="constrained")
    left, right = figure.subplots(1, 2)
    _strengths(left, rows, choice)
    _differences(right, rows, names)
    figure.suptitle(f"Exact feedback on {dataset}: what is delivered, less that without feedback")
    return figure


def strengths(rows: Sequence[Row], choice: Choice) -> dict[str, list[tuple[float, Paired]]]:
    """Condition -> (weight, paired differences on validation images to no feedback) of each."""
    search = [row for row in rows if row["part"] == "validation"]
    found: dict[str, list[tuple[float, Paired]]] = {}
    for condition in dict.fromkeys(row["condition"] for row in search):

        def by_seed(variant: str, options: dict, condition: str = condition) -> dict[str, float]:
            text = ledger.options_text(options)
            key = condition, variant, text
            return {
                row["seed"]: ledger.delivered(row)
                for row in search
                if (row["condition"], row["variant"], row["options"]) == key
            }

        theirs = by_seed(NONE.name, dict(choice.options))
        for weight, _ in choice.with_weights:
            ours = by_seed(FEEDBACK.name, {**choice.options, "feedback_weight": weight})
            seeds = sorted(ours.keys() & theirs.keys())
            if seeds:
                values = paired([ours[s] for s in seeds], [theirs[s] for s in seeds])
                found.setdefault(condition, []).append((weight, values))
    return found


def _strengths(axes: Axes, rows: Sequence[Row], choice: Choice) -> None:
    found = strengths(rows, choice)
    for k, (condition, values) in enumerate(found.items()):
        shift = 1.04 ** (k - (len(found) - 1) / 2)  # intervals beside one another
        weights = [weight * shift for weight, _ in values]
        means, halves = [v.mean for _, v in values], [v.half for _, v in values]
        axes.errorbar(
            weights, means, yerr=halves, fmt="o-", capsize=3, label=condition, color=f"C{k}"
        )
    of_all = [value.mean for values in found.values() for _, value in values] or [0.0]
    margin = 0.5 + 0.5 * (max(of_all) - min(of_all))  # intervals of few seeds may be cut off
    axes.set_ylim(min(of_all) - margin, max(of_all) + margin)
    axes.axhline(0, color="gray", linewidth=0.8)
    axes.axvline(choice.weight, color="gray", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    ticks = [weight for weight, _ in choice.with_weights]
    axes.set_xticks(ticks, [f"{weight:g}" for weight in ticks])
    axes.minorticks_off()
    axes.set(
        title=f"On validation images of seeds from {FIRST_SEED} on (dotted: chosen)",
        xlabel="feedback_weight, unit scale",
        ylabel="points, mean with 95% interval, as far as it fits",
    )
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _differences(axes: Axes, rows: Sequence[Row], conditions: Sequence[str]) -> None:
    shown = [v.name for v in (FEEDBACK, *VARIANTS[_CONTROLS_FROM:])]
    labeled, ticks, y = set(), [], 0.0
    for condition in conditions:
        ticks.append(y)
        for k, name in enumerate(shown):
            ours, theirs = tables.pairs(rows, condition, name)
            if not ours:
                continue
            value, is_main = paired(ours, theirs), name == FEEDBACK.name
            axes.errorbar(
                value.mean,
                y,
                xerr=value.half,
                fmt="o" if is_main else ".",
                capsize=3 if is_main else 2,
                color="black" if is_main else f"C{k}",
                linewidth=1.6 if is_main else 0.9,
                label=None if name in labeled else name,
            )
            labeled.add(name)
            y += _LINE
        y += _GAP
    axes.axvline(0, color="gray", linewidth=0.8)
    axes.set_yticks(ticks, conditions, fontsize=8)
    axes.set_ylim(y, -_GAP)
    axes.set(title="On test images of other seeds", xlabel="points, mean with 95% interval")
    axes.figure.legend(  # over no interval
        *axes.get_legend_handles_labels(), loc="outside lower right", ncols=5, fontsize=8
    )
    axes.grid(axis="x", alpha=0.3)


def _lines(rows: Sequence[Row], conditions: Sequence[str]) -> int:
    """How many intervals `_differences` draws."""
    names = [v.name for v in VARIANTS[1:]]
    return sum(bool(tables.pairs(rows, c, name)[0]) for c in conditions for name in names)
