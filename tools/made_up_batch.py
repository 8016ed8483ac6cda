"""A batch of random images, for a step that is exported or timed without a dataset."""

import numpy as np

from mpl_tf.config import RunConfig
from mpl_tf.engine.method import Method
from mpl_tf.engine.stored_teacher import StoredTeacherMethod


def make(
    method: Method, run: RunConfig, num_classes: int, image_shape: tuple[int, int, int]
) -> dict[str, np.ndarray]:
    """A batch as `method` takes it, drawn from the run's seed.

    Args:
      method: has the views.
      run: has the batch's sizes.
      num_classes: labels are below it.
      image_shape: (height, width, channels).

    Returns:
      `label` int64 [B], `labeled` uint8 [B,H,W,C], each unlabeled view uint8 [U,H,W,C], and `index`
      int64 [U], if the method takes it: the unlabeled images are a pool of U. With `prediction`
      float16 [U, K], distributions, if it reads stored ones.
    """
    rng = np.random.default_rng(run.seed)
    labeled, unlabeled = run.labeled_batch, run.labeled_batch * run.unlabeled_ratio
    batch = {"label": rng.integers(num_classes, size=labeled)}
    for view in ("labeled", *method.unlabeled_views):
        if view == "index":
            batch[view] = np.arange(unlabeled)
        else:
            count = labeled if view == "labeled" else unlabeled
            batch[view] = rng.integers(0, 256, (count, *image_shape)).astype(np.uint8)
    if isinstance(method, StoredTeacherMethod):
        drawn = rng.dirichlet(np.ones(num_classes), unlabeled)
        batch["prediction"] = drawn.astype(np.float16)
    return batch
