"""Pools of unlabeled images: stored predictions of all of them, and the surest of each class."""
