"""How many images a step takes where there are few."""

import math


def give_way(
    labeled_batch: int,
    unlabeled_ratio: int,
    *,
    batch_is_set: bool,
    ratio_is_set: bool,
    num_labeled: int | None,
    num_unlabeled: int | None,
) -> tuple[int, int]:
    """Sizes of a step's batches, made smaller where the user did not set them.

    The labeled batch is at most the labeled images. If the unlabeled images are too few, the ratio
    gives way first, down to 1; what is set stays, and the other gives way alone.

    Args:
      labeled_batch: labeled images a step, at least 1.
      unlabeled_ratio: unlabeled images a labeled one, at least 1.
      batch_is_set, ratio_is_set: whether the user set it.
      num_labeled, num_unlabeled: images that there are; None for any number.

    Returns:
      (labeled_batch, unlabeled_ratio), both at least 1; they may still be too large where they are
      set.
    """
    labeled = math.inf if num_labeled is None else num_labeled
    unlabeled = math.inf if num_unlabeled is None else num_unlabeled
    if not batch_is_set:
        least = unlabeled_ratio if ratio_is_set else 1
        labeled_batch = int(max(1, min(labeled_batch, labeled, unlabeled // least)))
    if not ratio_is_set:
        unlabeled_ratio = int(max(1, min(unlabeled_ratio, unlabeled // labeled_batch)))
    return labeled_batch, unlabeled_ratio
