"""How strongly the terms of a loss pull on a network's logits."""

from collections.abc import Mapping

import tensorflow as tf

from mpl_tf.engine import replicas
from mpl_tf.formulas import feedback


def of_terms(
    tape: tf.GradientTape,
    terms: Mapping[str, tf.Tensor | float],
    logits: Mapping[str, tf.Tensor],
) -> dict[str, tf.Tensor]:
    """The pull of each term; see `feedback.pull`. No pass through the network is needed for it.

    Args:
      tape: persistent, which has recorded the terms.
      terms: name -> scalar, or 0.0 for one that there is not.
      logits: name of images -> floating [N_j, K], from which the terms were computed.

    Returns:
      Name of a term that there is -> scalar, the same on every replica.
    """
    sources = list(logits.values())
    local = {
        name: feedback.pull([g for g in tape.gradient(term, sources) if g is not None])
        for name, term in terms.items()
        if tf.is_tensor(term)
    }
    return replicas.mean_over_replicas(local)
