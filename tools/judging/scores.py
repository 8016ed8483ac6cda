"""What features are good for: a vote of neighbours, and a linear classifier."""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from mpl_tf.data import pipeline
from mpl_tf.data.dataset import Images
from mpl_tf.features import compute, probe
from mpl_tf.formulas import measures, neighbours


@dataclasses.dataclass(frozen=True)
class Scores:
    """Accuracies of one encoder.

    Attributes:
      features: how many it gives of an image.
      knn, linear: in [0, 1].
      strength: of the penalty of the linear classifier, one of `probe.STRENGTHS`.
    """

    features: int
    knn: float
    linear: float
    strength: float


def of(
    backbone: keras.Model,
    parts: Mapping[str, Images],
    on: str,
    num_classes: int,
    k: int,
    seed: int,
) -> Scores:
    """Judges an encoder by its features of images as they are.

    The neighbours are those of `formulas.neighbours.knn_probs` among the labeled images; the linear
    classifier is a logistic regression on these. The strength of its penalty is the one that is
    right most often on validation images (the strongest of equal ones), or, where there are none,
    the one that cross-validation on the labeled images prefers.

    Args:
      backbone: images -> features.
      parts: "labeled", and of "validation" and "test" what there is; each class has a label.
      on: the part that accuracies are of.
      num_classes: K.
      k: neighbours that vote.
      seed: of the cross-validation.
    """
    run = compute.forward(backbone)
    features = {name: _features(run, images) for name, images in parts.items()}
    bank, labels, truth = features["labeled"], parts["labeled"].labels, parts[on].labels
    votes = neighbours.knn_probs(features[on], bank, labels, num_classes, k)
    standard = probe.moments([bank])

    def fit(strength: float) -> probe.Head:
        return probe.fit(bank, labels, num_classes, strength, standard)

    def accuracy(head: probe.Head, part: str) -> float:
        return measures.accuracy(head.logits(features[part]), parts[part].labels)

    if "validation" in parts:
        heads = {strength: fit(strength) for strength in probe.STRENGTHS}
        strength = max(heads, key=lambda each: accuracy(heads[each], "validation"))
        head = heads[strength]
    else:
        strength = probe.choose_strength(bank, labels, num_classes, seed, standard)
        head = fit(strength)
    return Scores(bank.shape[1], measures.accuracy(votes, truth), accuracy(head, on), strength)


def _features(run: compute.Forward, images: Images) -> np.ndarray:
    batches = pipeline.evaluation_batches(images)
    features = np.concatenate([np.asarray(run(pixels), np.float32) for pixels, _ in batches])
    return compute.narrowed(features, np.dtype(np.float32))


def markdown(scores: Sequence[tuple[str, Scores]]) -> str:
    """A table of (name, its scores)."""
    lines = ["| encoder | features | kNN | linear | penalty |", "|---|---|---|---|---|"]
    for name, each in scores:
        cells = (
            name.replace("|", "\\|"),
            f"{each.features:,}",
            f"{100 * each.knn:.2f}",
            f"{100 * each.linear:.2f}",
            f"1/{1 / each.strength:,.0f}" if each.strength < 1 else f"{each.strength:g}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
