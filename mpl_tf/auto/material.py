"""What candidates are made of: a dataset's images as features, and how they are held out."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping

import keras
import numpy as np

from mpl_tf.augment import policies
from mpl_tf.console import log
from mpl_tf.data import duplicates
from mpl_tf.data.contents import Contents
from mpl_tf.data.dataset import Images, Source
from mpl_tf.features import folds as folding
from mpl_tf.features import probe, tables
from mpl_tf.features.tables import Features
from mpl_tf.features.views import PLAIN, ViewSet
from mpl_tf.options import ConfigError


@dataclasses.dataclass(frozen=True)
class Material:
    """The images of a dataset and their features.

    Attributes:
      source: the images; those of `train` are the labeled ones.
      backbone: images -> features [N, F].
      features: part of the source -> float32 [N, F].
      standard: by which features are standardised: those of all images for training.
      folds: integer, the fold of each labeled image, of `folds.stratified`.
      seed: of the folds.
    """

    source: Source
    backbone: keras.Model
    features: Mapping[str, np.ndarray]
    standard: probe.Moments
    folds: np.ndarray
    seed: int

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.source.class_names)

    @property
    def unlabeled_ids(self) -> np.ndarray:
        """[U], how the dataset names the unlabeled images."""
        unlabeled = self.source.unlabeled
        return unlabeled.ids if isinstance(unlabeled, Images) else np.zeros(0, object)

    @property
    def pool_size(self) -> int:
        """Unlabeled images that no part has with a label: those that candidates are trained on."""
        return int(np.sum(~self.source.copies))

    @functools.cached_property
    def strength(self) -> float:
        """Of the penalty of logistic regression, chosen on all labels."""
        features, labels = self.features["train"], self.source.train.labels
        return probe.choose_strength(features, labels, self.num_classes, self.seed, self.standard)

    def held_out(self) -> Images | None:
        """The images on which candidates are compared; None if there are none.

        Validation images, where the dataset has some, else the labeled ones that are in a fold.
        """
        if self.source.validation is not None:
            return self.source.validation
        inside = np.flatnonzero(self.folds != folding.NEVER_HELD_OUT)
        return self.source.train.take(inside) if len(inside) else None

    def folds_of_held_out(self) -> np.ndarray | None:
        """The fold of each of `held_out`; None of validation images, and of no images."""
        if self.source.validation is not None or not folding.count(self.folds):
            return None
        return self.folds[self.folds != folding.NEVER_HELD_OUT]

    @property
    def trainings(self) -> int:
        """Networks that answer `held_out`: one a fold, or one for validation images."""
        return 1 if self.source.validation is not None else folding.count(self.folds)

    @property
    def least_labels(self) -> int:
        """Labels in the smallest of these trainings."""
        if self.source.validation is not None or not folding.count(self.folds):
            return len(self.source.train)
        held_out = np.bincount(self.folds[self.folds != folding.NEVER_HELD_OUT])
        return len(self.source.train) - int(held_out.max())


def prepare(source: Source, backbone: keras.Model, directory: str, seed: int) -> Material:
    """Looks at the images, and computes features that are not cached yet.

    Args:
      source: the images.
      backbone: images -> features [N, F].
      directory: of cached features.
      seed: of the folds.

    Raises:
      ConfigError: a class has no label, unlabeled images have no positions, or there is no room.
    """
    missing = np.setdiff1d(np.arange(len(source.class_names)), source.train.labels)
    if missing.size:
        raise ConfigError(f"class {source.class_names[missing[0]]} has no labeled image.")
    images = {"train": source.train}
    if source.unlabeled is not None:
        images["unlabeled"] = tables.with_positions(source.unlabeled)
    for part in ("validation", "test"):
        if (there := getattr(source, part)) is not None:
            images[part] = there
    views = {PLAIN: ViewSet(PLAIN, policies.unchanged, 1, 0)}
    cached = Features(backbone, images, views, directory)
    cached.prepare([(PLAIN, part) for part in images.values()])
    features = {name: cached.plain(part) for name, part in images.items()}
    standard = probe.moments(features[part] for part in ("train", "unlabeled") if part in features)
    folds = folding.stratified(source.train.labels, seed)
    return Material(source, backbone, features, standard, folds, seed)


def digest(contents: Mapping[str, Contents]) -> str:
    """A digest of the images, their names and labels, hexadecimal.

    Args:
      contents: part of the dataset -> its images.
    """
    of_images = hashlib.sha256()
    for part, images in contents.items():
        of_images.update(part.encode())
        of_images.update("\0".join(images.names.tolist()).encode("utf-8", "surrogateescape"))
        of_images.update(images.labels.tobytes() + images.digests.tobytes())
    return of_images.hexdigest()


def warn_of_copies(source: Source, contents: Mapping[str, Contents]) -> None:
    """Says which images are held out and trained on at once, because they are there twice.

    Args:
      source: the images.
      contents: part of the dataset -> its images.
    """
    if copies := int(np.sum(source.copies)):
        log.info(
            f"{copies:,} of {len(source.copies):,} unlabeled images are copies of labeled ones: "
            f"they are predicted, but neither trained on as unlabeled nor proposed to be labeled"
        )
    for leak in duplicates.leaks({k: v for k, v in contents.items() if k != "unlabeled"}):
        log.warning(f"{leak}: what is measured on them says too much")
    copies = duplicates.repeated(contents["train"])
    if copies and "validation" not in contents:
        log.warning(
            f"{copies:,} of {len(contents['train']):,} labeled images are copies of others: where "
            "they are in different folds, what is measured says too much"
        )
