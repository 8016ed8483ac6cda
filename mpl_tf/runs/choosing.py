"""`--deliver=best`: which of a run's networks is delivered, by its validation images."""

from collections.abc import Mapping

import numpy as np

from mpl_tf.console import log
from mpl_tf.data.splits import Split
from mpl_tf.engine.method import Method
from mpl_tf.formulas import measures

# Of equals the first. The student itself is left out: its moving average is there.
_CANDIDATES = ("finetuned", "ema", "teacher")


def deliver_best(method: Method, logits: Mapping[str, np.ndarray], split: Split) -> None:
    """Delivers the network that gets most validation images right, and says so.

    Args:
      method: trained.
      logits: role -> floating [N, K], on the validation images.
      split: which has validation images.
    """
    images = split.validation
    assert images is not None  # as `config.check_data` says
    right = {
        role: measures.accuracy(logits[role], images.labels)
        for role in _CANDIDATES
        if role in logits
    }
    best = max(right, key=lambda role: right[role])  # of equals the first
    method.deliver(best)
    others = ", ".join(f"{role} {share:.1%}" for role, share in right.items() if role != best)
    share = f"{right[best]:.1%} of {len(images)} validation images"
    log.info(f"Delivered: {best}, right in {share} ({others})")
    if split.test is None:
        log.warning(
            "The accuracy of what is delivered is of the images that it was chosen on: too high"
        )
