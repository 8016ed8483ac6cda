"""Warnings about a training that has gone wrong in a known way."""

from collections.abc import Sequence

import numpy as np

from mpl_tf.console import log
from mpl_tf.runs.callbacks import Logs, StepCallback

MOST_OF_ONE_CLASS = 0.9
STUCK_ROWS = 5


class WarnOfCollapse(StepCallback):
    """Warns once when one class takes over the pseudo labels, and once when the mask is stuck.

    Args:
      every: steps from one check to the next, as the rows of the log.
      class_names: one a class.
      labeled_shares: float [K], the share of each class among the labeled images.
      offset: steps of the phase that are done before the first `fit`.
    """

    def __init__(
        self,
        every: int,
        class_names: Sequence[str],
        labeled_shares: np.ndarray,
        offset: int = 0,
    ):
        super().__init__(offset)
        self.every = every
        self.class_names, self.labeled_shares = class_names, labeled_shares
        self._mask_rates: list[float] = []
        self._warned: set[str] = set()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        super().on_train_batch_end(batch, logs)
        if self.step % self.every == 0:
            shares = self.model.pseudo_label_shares
            if shares is not None:
                self._check_classes(np.asarray(shares.result()))
            if logs and "mask_rate" in logs:
                self._check_mask(logs["mask_rate"])

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
            self._warn(
                "mask",
                f"no unlabeled image has passed the confidence threshold in {STUCK_ROWS} rows of "
                "the log, so they teach nothing there. "
                f"Try {self._remedy('none_pass')}more steps.",
            )
        elif self._mask_rates == [1.0] * STUCK_ROWS:
            self._warn(
                "mask",
                f"every unlabeled image has passed the confidence threshold in {STUCK_ROWS} rows "
                "of the log, so it selects nothing. If accuracy is poor, try "
                f"{self._remedy('all_pass')}more labels.",
            )

    def _remedy(self, fault):
        """The method's own advice, before advice that holds for all; "" if it has none."""
        remedy = self.model.remedies.get(fault)
        return f"{remedy}, or " if remedy else ""

    def _warn(self, subject, text):
        if subject not in self._warned:
            self._warned.add(subject)
            log.warning(f"\nWarning at step {self.step}: {text}")
