"""The tables of a search, as Markdown."""

import collections
import statistics
from collections.abc import Sequence
from typing import Any

from comparing.tables import different_software
from searching import ledger
from searching.choosing import FIRST_SEED, Choice
from searching.conditions import Condition
from searching.ledger import Row
from searching.pairs import Paired, paired
from searching.variants import FEEDBACK, NONE, VARIANTS


def pairs(
    rows: Sequence[Row], condition: str, variant: str, role: str = "delivered"
) -> tuple[list[float], list[float]]:
    """Test accuracies in percent of a variant, and of the runs without feedback of its seeds.

    Args:
      rows: of a search.
      condition: its name.
      variant: its name.
      role: a network, or "delivered".
    """

    def by_seed(name: str) -> dict[int, float]:
        return {
            int(row["seed"]): ledger.delivered(row)
            if role == "delivered"
            else ledger.accuracy(row, role)
            for row in rows
            if (row["part"], row["condition"], row["variant"]) == ("test", condition, name)
        }

    ours, theirs = by_seed(variant), by_seed(NONE.name)
    seeds = sorted(ours.keys() & theirs.keys())
    return [ours[s] for s in seeds], [theirs[s] for s in seeds]


def markdown(
    rows: Sequence[Row], conditions: Sequence[Condition], choice: Choice, dataset: str, command: str
) -> str:
    """What a search found.

    Args:
      rows: of its runs.
      conditions: in the order of the table.
      choice: of its options.
      dataset: its name.
      command: that makes it again.
    """
    done = ledger.finished(rows)
    names = [c.name for c in conditions if pairs(done, c.name, FEEDBACK.name)[0]]
    parts = [different_software(dict(enumerate(rows))), _of_failures(rows), _of_choice(choice)]
    parts += [_of_feedback(done, names, dataset), _of_controls(done, names)]
    parts += [_of_directions(done, names), f"`{command}`"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _of_failures(rows: Sequence[Row]) -> str:
    """Which runs failed, in a sentence; "" if none did."""
    counts = collections.Counter(
        f"{row['condition']}, {row['variant']}, {row['part']} images"
        for row in rows
        if row["failed"]
    )
    if not counts:
        return ""
    texts = "; ".join(f"{text} ({count})" for text, count in counts.items())
    return (
        f"{sum(counts.values())} of {len(rows)} runs failed, because a number became NaN or "
        "infinite. They are in no mean and no pair, and options of which a run failed are not "
        f"chosen: {texts}."
    )


def _of_choice(choice: Choice) -> str:
    lines = [
        f"Chosen on validation images of seeds from {FIRST_SEED} on, by the mean accuracy (%) of "
        "what is delivered, over the numbers of labels:",
        "",
        "| without feedback | |",
        "|---|---|",
    ]
    for options, mean in choice.without:
        text = (
            ", ".join(f"{name} {_text(value)}" for name, value in options.items())
            or "as the recipe is"
        )
        lines.append(f"| {_bold(text, options == choice.options)} | {_chosen_by(mean)} |")
    lines += ["", "| and with exact feedback of weight | |", "|---|---|"]
    for weight, mean in choice.with_weights:
        text = _bold(f"{weight:g}", weight == choice.weight)
        lines.append(f"| {text} | {_chosen_by(mean)} |")
    return "\n".join(lines)


def _of_feedback(rows: Sequence[Row], conditions: Sequence[str], dataset: str) -> str:
    lines = [
        f"Test accuracy (%) on {dataset} of what is delivered, mean ± standard deviation, and the "
        "paired difference that exact feedback makes, mean [95% interval], p of the t-test, pairs "
        "in which it is above 0 of those that differ, p of the sign test; and that of other "
        "networks.",
        "",
        "| condition | pairs | none | exact | difference | teacher | EMA student |",
        "|---|---|---|---|---|---|---|",
    ]
    for condition in conditions:
        ours, theirs = pairs(rows, condition, FEEDBACK.name)
        of_roles = [
            _brief(paired(*pairs(rows, condition, FEEDBACK.name, role)))
            for role in ("teacher", "ema")
        ]
        cells = [str(len(ours)), _mean(theirs), _mean(ours), _full(paired(ours, theirs)), *of_roles]
        lines.append(f"| {condition} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _of_controls(rows: Sequence[Row], conditions: Sequence[str]) -> str:
    names = [v.name for v in VARIANTS if v not in (NONE, FEEDBACK)]
    there = [n for n in names if any(pairs(rows, c, n)[0] for c in conditions)]
    if not there:
        return ""
    columns = [FEEDBACK.name, *there]
    lines = [
        "The same difference, of what is delivered, for other forms and for controls (p of the "
        "t-test):",
        "",
        "| condition | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for condition in conditions:
        found = [pairs(rows, condition, name) for name in columns]
        if any(ours for ours, _ in found[1:]):
            cells = [_brief(paired(*each)) if each[0] else "" for each in found]
            lines.append(f"| {condition} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _of_directions(rows: Sequence[Row], conditions: Sequence[str]) -> str:
    columns = {
        "pseudo_label_accuracy": "pseudo labels right",
        "true_cosine": "cosine with the true labels' gradient",
        "true_credited": "true class credited where the pseudo label is wrong",
        "feedback_share": "share of the pull on the teacher's logits",
    }
    lines = [
        "Exact feedback, means over the steps:",
        "",
        "| condition | " + " | ".join(columns.values()) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for condition in conditions:
        key = "test", condition, FEEDBACK.name
        of_condition = [r for r in rows if (r["part"], r["condition"], r["variant"]) == key]
        cells = []
        for name in columns:
            values = [float(row[name]) for row in of_condition if row[name]]
            cells.append(f"{statistics.mean(values):.2f}" if values else "")
        lines.append(f"| {condition} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _full(result: Paired) -> str:
    if result.p is None:
        return _brief(result)
    low, high = result.mean - result.half, result.mean + result.half
    return (
        f"{result.mean:+.2f} [{low:+.2f}, {high:+.2f}], p {result.p:.4f}; "
        f"{result.better} of {result.differ}, p {result.sign_p:.3f}"
    )


def _brief(result: Paired) -> str:
    p = "" if result.p is None else f" (p {result.p:.3f})"
    return f"{result.mean:+.2f}{p}"


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def _chosen_by(mean: float | None) -> str:
    return "a run failed" if mean is None else f"{mean:.2f}"


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bold(text: str, is_chosen: bool) -> str:
    return f"**{text}**" if is_chosen else text
