"""Warnings about a training that has gone wrong in a known way."""

import dataclasses

import numpy as np

from mpl_tf import console
from mpl_tf.runs.callbacks import StepCallback

MOST_OF_ONE_CLASS = 0.9
STUCK_ROWS = 5


class WarnOfCollapse(StepCallback):
    """Says once when one class takes over the pseudo labels, and once when the mask is stuck.

    Args:
      every: int, steps between two looks, as the rows of the log.
      class_names: sequence of str.
      labeled_shares: float [K], the share of each class among the labeled images.
      start: int, steps taken before this `fit`.
    """

    def __init__(self, every, class_names, labeled_shares, start=0):
        super().__init__(start)
        self.every = every
        self.class_names, self.labeled_shares = class_names, labeled_shares
        self._masks, self._said = [], set()

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if self.taken % self.every == 0:
            shares = self.model.pseudo_label_shares
            if shares is not None:
                self._look_at_classes(np.asarray(shares.result()))
            if "mask_rate" in logs:
                self._look_at_mask(logs["mask_rate"])

    def _look_at_classes(self, shares):
        largest = int(np.argmax(shares))
        if shares[largest] > MOST_OF_ONE_CLASS:
            self._say(
                "classes",
                f"{shares[largest]:.0%} of the pseudo labels are class "
                f"{self.class_names[largest]!r}, which has {self.labeled_shares[largest]:.0%} of "
                "the labels: what makes them has collapsed. Try "
                f"{self._advice('a smaller', 'uda_weight', 'unlabeled_weight')}"
                f"{self._advice('a longer', 'ramp_steps')}a lower learning rate.",
            )

    def _look_at_mask(self, rate):
        self._masks = [*self._masks, rate][-STUCK_ROWS:]
        if self._masks == [0.0] * STUCK_ROWS:
            self._say(
                "mask",
                f"no unlabeled image has passed the confidence threshold in {STUCK_ROWS} rows of "
                "the log, so they teach nothing there. Try "
                f"{self._advice('a lower', 'threshold', 'temperature')}more steps.",
            )
        elif self._masks == [1.0] * STUCK_ROWS:
            self._say(
                "mask",
                f"every unlabeled image has passed the confidence threshold in {STUCK_ROWS} rows "
                "of the log, so it selects nothing. If accuracy is poor, try "
                f"{self._advice('a higher', 'threshold')}more labels.",
            )

    def _advice(self, change, *endings):
        """`change` and the method's options whose names end so, and " or "; "" if it has none."""
        options = dataclasses.fields(self.model.config)
        names = [option.name for option in options if option.name.endswith(endings)]
        return f"{change} {' or '.join(names)}, or " if names else ""

    def _say(self, kind, text):
        if kind not in self._said:
            self._said.add(kind)
            console.complain(f"\nWarning at step {self.taken}: {text}")
