"""Warnings about a training that has gone wrong in a known way."""

from collections.abc import Sequence

import numpy as np

from mpl_tf.console import log
from mpl_tf.runs.callbacks import Logs, StepCallback

MOST_OF_ONE_CLASS = 0.9
STUCK_ROWS = 5


class WarnOfCollapse(StepCallback):
    """Warns once when one class takes over the pseudo labels, and once when the mask is stuck.

    Of a phase that is too short for that, it says at the end if nothing has passed the mask.

    Args:
      every: steps from one check to the next, as the rows of the log.
      class_names: one a class.
      labeled_shares: float [K], the share of each class among the labeled images.
      total: steps of the phase.
      offset: steps of the phase that are done before the first `fit`.
      of_network: what to try with the options of the network where nothing passes the mask, in
        words that continue "Try"; "" if it has none.
    """

    def __init__(
        self,
        every: int,
        class_names: Sequence[str],
        labeled_shares: np.ndarray,
        total: int,
        offset: int = 0,
        of_network: str = "",
    ):
        super().__init__(offset)
        self.every, self.total, self.of_network = every, total, of_network
        self._first, self._has_passed = offset, False
        self.class_names, self.labeled_shares = class_names, labeled_shares
        self._mask_rates: list[float] = []
        self._warned: set[str] = set()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        super().on_train_batch_end(batch, logs)
        rate = (logs or {}).get("mask_rate")
        if self.step % self.every == 0:
            shares = self.model.pseudo_label_shares
            if shares is not None:
                self._check_classes(np.asarray(shares.result()))
            if rate is not None:
                self._check_mask(rate)
        if rate:
            self._has_passed = True
        elif rate is not None and self.step == self.total and not self._has_passed:
            self._warn_of_none(f"in {self.total - self._first} steps")

    def _check_classes(self, shares):
        largest = int(np.argmax(shares))
        if shares[largest] > MOST_OF_ONE_CLASS:
            self._warn(
                "classes",
                f"{shares[largest]:.0%} of the pseudo labels are class "
                f"{self.class_names[largest]!r}, which has {self.labeled_shares[largest]:.0%} of "
                "the labels: what makes them has collapsed. "
                f"Try {self._remedy('collapse')}a lower learning rate.",
            )

    def _check_mask(self, rate):
        self._mask_rates = [*self._mask_rates, rate][-STUCK_ROWS:]
        if self._mask_rates == [0.0] * STUCK_ROWS:
            self._warn_of_none(f"in {STUCK_ROWS} rows of the log")
        elif self._mask_rates == [1.0] * STUCK_ROWS:
            self._warn(
                "mask",
                f"every unlabeled image has passed the confidence threshold in {STUCK_ROWS} rows "
                "of the log, so it selects nothing. If accuracy is poor, try "
                f"{self._remedy('all_pass')}more labels.",
            )

    def _warn_of_none(self, when):
        self._warn(
            "mask",
            f"no unlabeled image has passed the confidence threshold {when}, so they teach "
            f"nothing there. Try {self._remedy('none_pass', self.of_network)}more steps.",
        )

    def _remedy(self, fault, of_network=""):
        """Advice of the method and the network, before what holds for all; "" if they have none."""
        remedies = self.model.remedies.get(fault), of_network
        return "".join(f"{remedy}, or " for remedy in remedies if remedy)

    def _warn(self, subject, text):
        if subject not in self._warned:
            self._warned.add(subject)
            log.warning(f"\nWarning at step {self.step}: {text}")
