"""What was found: the answer of `mpl_tf.auto`."""

import dataclasses

import keras
import numpy as np

from mpl_tf.auto.candidates import Candidate
from mpl_tf.auto.estimates import Estimate


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Outcome:
    """A classifier, how good it is, and what it says of the unlabeled images.

    Attributes:
      delivered: the name of the candidate that is delivered.
      verdict: how sure it is that it is the best, in a sentence.
      estimate: its accuracy on images that were held out; None if none could be.
      candidates: all that were tried, the delivered one first.
      network: keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K].
      temperature: what the logits are divided by before the softmax: `probabilities` are so, and
        the export's.
      class_names: K of them, in the order of the logits.
      files: [U], the names of the unlabeled images.
      probabilities: float [U, K], of the unlabeled images.
      label_next: integer, positions of the unlabeled images whose labels would help most.
      suspicious: integer, positions of the labeled images whose labels predictions contradict.
      path: the folder, with the lists and pictures.
      export: the folder of the exported classifier.
      run: the run folder of what is delivered; None of logistic regression, which is no run.
    """

    delivered: str
    verdict: str
    estimate: Estimate | None
    candidates: tuple[Candidate, ...]
    network: keras.Model
    temperature: float
    class_names: tuple[str, ...]
    files: np.ndarray
    probabilities: np.ndarray
    label_next: np.ndarray
    suspicious: np.ndarray
    path: str
    export: str
    run: str | None

    def __repr__(self) -> str:
        """What is delivered, how good it is, and where it lies."""
        accuracy = "not measured" if self.estimate is None else f"{self.estimate.accuracy:.1%}"
        return f"Outcome({self.delivered!r}, {accuracy}, in {self.path!r})"

    @property
    def predicted(self) -> np.ndarray:
        """[U], the likeliest class of each unlabeled image, by its name."""
        return np.array(self.class_names)[np.argmax(self.probabilities, axis=-1)]

    @property
    def accuracy(self) -> float | None:
        """Of `estimate`."""
        return None if self.estimate is None else self.estimate.accuracy
