"""What a run is made of: images, views, method, and the batches that it reads."""

import dataclasses
import os

import keras
import numpy as np
import tensorflow as tf

from mpl_tf import config
from mpl_tf.data import dataset, pipeline, splits, views
from mpl_tf.data.dataset import Images
from mpl_tf.engine import devices
from mpl_tf.engine.method import Method
from mpl_tf.features import batches as feature_batches
from mpl_tf.features.batches import CachedView
from mpl_tf.features.tables import Features
from mpl_tf.features.views import STRONG, WEAK
from mpl_tf.networks import parts
from mpl_tf.runs import cached, footprint
from mpl_tf.runs.building import build_method, derived_seed
from mpl_tf.runs.folder import FINETUNE


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a run is made of.

    Attributes:
      config: all settings.
      split: the images, by what they are for.
      views: the policies of weak and strong views.
      method: compiled.
      path: the run folder.
      output_path: where this process writes: the run folder, or, on a worker that is not the chief,
        a folder that nobody reads.
      features: what the networks, which are heads, have in place of images; None if they are whole.
    """

    config: config.Config
    split: splits.Split
    views: views.Views
    method: Method
    path: str
    output_path: str
    features: Features | None = None

    def prepare(self) -> None:
        """Computes the features that are not cached yet; see `Features.prepare`."""
        if self.features is not None:
            self.features.prepare(self.requests())

    def requests(self) -> list[tuple[str, Images]]:
        """(name of the views, the images) of all cached features that the run reads."""
        is_probed = self.config.network.head_init == "probe"
        plain = self.split.images_for_training() if is_probed else ()
        return cached.requests(self.split, self.method.unlabeled_views, plain)

    def seen(self, images: Images) -> Images:
        """Images as the method's networks take them for evaluation: themselves, or features."""
        return images if self.features is None else feature_batches.plain(self.features, images)

    def whole(self, network: keras.Model) -> keras.Model:
        """A network of the method, images -> logits: with the backbone, if it is a head."""
        return network if self.features is None else parts.join(self.features.backbone, network)

    def file(self, *names: str) -> str:
        """A path inside the folder that this process writes to."""
        return os.path.join(self.output_path, *names)

    def batches(
        self, phase: str, start: int, views: tuple[str, ...] | None = None
    ) -> tf.data.Dataset:
        """Training data of a phase from step `start` on.

        Args:
          phase: its name; each has batches of its own.
          start: steps of the phase that are done.
          views: as `unlabeled_views`; None is the method's.
        """
        run = self.config.run
        batch = run.labeled_batch
        if phase == FINETUNE:
            batch = self.config.optimizer.finetune_batch

        views = self.method.unlabeled_views if views is None else views
        labeled, unlabeled, weak, strong = self._read_by_steps(views)

        def shard(index_and_count):
            return pipeline.training_batches(
                labeled,
                unlabeled,
                labeled_batch=batch,
                unlabeled_batch=run.labeled_batch * run.unlabeled_ratio,
                views=views,
                weak=weak,
                strong=strong,
                seed=derived_seed(run.seed, phase),
                start=start,
                shard=index_and_count,
            )

        batches = devices.distribute(self.method.distribute_strategy, shard)
        # Labels were checked when the images were read: `fit` need not read batches for that.
        labels, classes = self.split.labeled.labels, len(self.split.class_names)
        batches.class_counts = np.bincount(labels, minlength=classes)
        return batches

    def _read_by_steps(self, views):
        """(labeled, unlabeled, weak, strong): two pools, and two policies of what is in them."""
        labeled, unlabeled, features = self.split.labeled, self.split.unlabeled, self.features
        if features is None:
            return labeled, unlabeled, self.views.weak, self.views.strong
        weak, strong = (CachedView(features, features.view_set(name)) for name in (WEAK, STRONG))
        labeled = feature_batches.rows(features, labeled)
        unlabeled = feature_batches.rows(features, unlabeled) if views else labeled
        return labeled, unlabeled, weak, strong


def build(
    settings: config.Config,
    split: splits.Split,
    path: str,
    strategy: tf.distribute.Strategy | None = None,
    output_path: str | None = None,
) -> Experiment:
    """A run on a split: its views, and its method as by `build_method`.

    Args:
      settings: of the run.
      split: its images.
      path: the run folder, which need not exist.
      strategy: None is the one for a single device.
      output_path: where this process writes; None is the run folder.

    Raises:
      ConfigError: the networks cannot be computed in the way that was asked for, or a step of them
        does not fit into memory.
    """
    strategy = strategy or devices.current_strategy()
    num_classes, (height, width, channels) = len(split.class_names), split.labeled.shape
    image_shape = height, width, channels
    if not settings.is_cached:
        footprint.check_images(settings, image_shape)
    method, backbone = build_method(
        settings, num_classes, image_shape, split.unlabeled.size or 0, strategy
    )
    seen = image_shape if backbone is None else backbone.output_shape[1:]
    footprint.check_layers(settings, method.student, seen)
    policies = views.make(settings.data, height)
    features = None
    if backbone is not None:
        features = cached.make(settings, split, policies, backbone, path)
    return Experiment(settings, split, policies, method, path, output_path or path, features)


def make_split(settings: config.Config, source: dataset.Source) -> splits.Split:
    """The split of a source that a run trains and tests on."""
    options = settings.data
    return splits.split(
        source,
        options.num_labeled,
        options.num_validation,
        settings.run.seed,
        exclude_labeled=options.exclude_labeled,
        ids=splits.read_ids(options.split_file) if options.split_file else None,
    )
