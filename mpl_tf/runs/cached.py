"""The cached features of a run: where they lie, and which it needs."""

import dataclasses
import os
from collections.abc import Iterable
from typing import Any, TypedDict

import keras

from mpl_tf import config, files
from mpl_tf.data.dataset import Images
from mpl_tf.data.options import DataConfig
from mpl_tf.data.splits import Split
from mpl_tf.data.views import Views
from mpl_tf.features import tables
from mpl_tf.features.tables import Features
from mpl_tf.features.views import PLAIN, STRONG, WEAK, view_sets
from mpl_tf.methods import METHODS
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder


class About(TypedDict):
    """What features.json in a run folder holds."""

    backbone: str


def make(
    settings: config.Config, split: Split, views: Views, backbone: keras.Model, path: str
) -> Features:
    """The features of a run, of which nothing is computed yet.

    Args:
      settings: of the run.
      split: its images.
      views: its policies.
      backbone: of its networks.
      path: the run folder.

    Raises:
      ConfigError: the unlabeled images have no positions.
    """
    source = split.source
    if METHODS[settings.run.method].unlabeled_views:
        tables.with_positions(split.unlabeled)
    parts = {
        name: part
        for name in ("train", "unlabeled", "validation", "test")
        if isinstance(part := getattr(source, name), Images)
    }
    sets = view_sets(settings.features, views.weak, views.strong)
    directory = data_options(settings, path).cache_dir
    return Features(backbone, parts, sets, directory, settings.features.cache_dtype)


def data_options(settings: config.Config, path: str) -> DataConfig:
    """The options of a run's images, in which `cache_dir` is not empty.

    Args:
      settings: of the run.
      path: the run folder.
    """
    beside = os.path.join(os.path.dirname(os.path.abspath(path)), "features")
    return dataclasses.replace(settings.data, cache_dir=settings.data.cache_dir or beside)


def requests(
    split: Split, unlabeled_views: tuple[str, ...], plain: Iterable[Images]
) -> list[tuple[str, Images]]:
    """(name of the views, the images) of all that a run reads; see `Features.prepare`.

    Args:
      split: its images.
      unlabeled_views: of its method.
      plain: images for training whose plain view is needed, too.
    """
    views: list[tuple[str, Any]] = [(WEAK, split.labeled)]
    families = {name.partition("_")[0] for name in unlabeled_views}
    views += [(name, split.unlabeled) for name in (WEAK, STRONG) if name in families]
    views += [(PLAIN, part) for part in (*plain, split.validation, split.test) if part]
    return views


def keep(path: str, features: Features) -> None:
    """Writes which weights a run is started with, but over nothing that is there.

    Args:
      path: the run folder.
      features: of the run.
    """
    file = os.path.join(path, folder.FEATURES)
    if not os.path.lexists(file):
        files.write_json(file, {"backbone": features.digest, "directory": features.directory})


def check(path: str, digest: str, settings: config.Config) -> None:
    """Compares the weights of a backbone with those that the run in a folder was started with.

    Args:
      path: the run folder; in it may be no run.
      digest: by `fingerprint.of_backbone`.
      settings: of the run.

    Raises:
      ConfigError: they differ.
    """
    file = os.path.join(path, folder.FEATURES)
    if not os.path.lexists(file):
        return
    there, weights = files.read_json(file, About)["backbone"], settings.network.network_weights
    if there != digest:
        raise ConfigError(
            f"the run in {path} was trained on features of a backbone with other weights than "
            f"those of {settings.run.network} here ({weights or 'random ones'}): their digest is "
            f"{there[:12]} in its {folder.FEATURES}, and {digest[:12]} here. Put the weights back "
            f"that it was started with; its {folder.EXPORT} folder, if it is there, has them."
        )
