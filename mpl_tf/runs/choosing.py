"""Which of a run's networks is delivered, or would better be, by its validation images."""

import os
import shlex
from collections.abc import Mapping
from typing import TypedDict

import numpy as np

from mpl_tf.console import log
from mpl_tf.data.splits import Split
from mpl_tf.engine.method import Method
from mpl_tf.engine.roles import ROLES
from mpl_tf.formulas import measures
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder, results_file

# Of equals the first. The student itself is left out: its moving average is there.
_CANDIDATES = ("finetuned", "ema", "teacher")
# Standard deviations by which equally good networks differ 3 times in 1,000.
_NO_CHANCE = 3.0


class _Results(TypedDict):
    delivered: str


def delivered(path: str) -> str:
    """Which network a run delivers, as it chose at its end.

    Args:
      path: the run folder.

    Raises:
      ConfigError: it has not ended, or its results.json is damaged.
    """
    file = os.path.join(path, folder.RESULTS)
    if not os.path.lexists(file):
        raise ConfigError(
            f"{path} is not finished: what it delivers is chosen at its end. Continue it, or "
            "take --which=ema."
        )
    return results_file.read(path, _Results, _check)["delivered"]


def _check(file: str, results: _Results) -> None:
    check_role(file, results["delivered"])


def check_role(file: str, role: str) -> None:
    """Raises ConfigError if what a results.json says of the delivered network names none."""
    if role not in ROLES:
        raise ConfigError(
            f"{file} is damaged: delivered must be of {', '.join(ROLES)}; received {role!r}."
        )


def deliver_best(method: Method, logits: Mapping[str, np.ndarray], split: Split) -> None:
    """Delivers the network that gets most validation images right, and says so.

    Args:
      method: trained.
      logits: role -> floating [N, K], on the validation images.
      split: which has validation images.
    """
    images = split.validation
    assert images is not None  # as `config.check_data` says
    there = [role for role in _CANDIDATES if role in logits]
    # Of NaN the greatest is the first class, which may be right.
    finite = [role for role in there if np.isfinite(logits[role]).all()]
    right = {role: measures.accuracy(logits[role], images.labels) for role in finite or there}
    best = max(right, key=lambda role: right[role])  # of equals the first
    method.deliver(best)
    others = ", ".join(f"{role} {share:.1%}" for role, share in right.items() if role != best)
    share = f"{right[best]:.1%} of {len(images)} validation images"
    log.info(f"Delivered: {best}, right in {share} ({others})")
    if split.test is None:
        log.warning(
            "The accuracy of what is delivered is of the images that it was chosen on: too high"
        )


def tell_of_better(
    method: Method, logits: Mapping[str, np.ndarray], split: Split, path: str
) -> None:
    """Says so where a run has a network that is better than what it delivers, beyond chance.

    Two networks are compared by the validation images that one alone gets right, b and c of them:
    equally good ones differ by about `sqrt(b + c)` (McNemar 1947).

    Args:
      method: trained.
      logits: role -> floating [N, K], on the validation images.
      split: of which the validation images are; None of them is no reason to say anything.
      path: the run folder.
    """
    images = split.validation
    if images is None:
        return
    right = {
        role: np.argmax(logits[role], axis=-1) == images.labels
        for role in (*_CANDIDATES, method.delivered)
        if role in logits and np.isfinite(logits[role]).all()
    }
    best = max(right, key=lambda role: int(right[role].sum()), default=method.delivered)
    if best == method.delivered or method.delivered not in right:
        return
    better, worse = right[best], right[method.delivered]
    wins, losses = int(np.sum(better & ~worse)), int(np.sum(worse & ~better))
    if wins - losses > _NO_CHANCE * (wins + losses) ** 0.5:
        log.info(
            f"Of {len(images)} validation images {best} gets {better.mean():.1%} right, and what "
            f"is exported, {method.delivered}, {worse.mean():.1%}: more than chance explains. The "
            f"better one: python -m mpl_tf.export --workdir={shlex.quote(path)} --which={best}, or "
            "--deliver=best in the next run"
        )
