"""What a run is made of: images, views, method, and the batches that it reads."""

import dataclasses
import os
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from mpl_tf import config
from mpl_tf.console import log
from mpl_tf.data import dataset, pipeline, splits
from mpl_tf.data import views as views_of
from mpl_tf.data.dataset import Images
from mpl_tf.data.options import DataConfig
from mpl_tf.engine import devices
from mpl_tf.engine.method import Method
from mpl_tf.engine.pool_predictions import Predictions
from mpl_tf.engine.stored_teacher import StoredTeacherMethod
from mpl_tf.features import batches as feature_batches
from mpl_tf.features.batches import CachedView
from mpl_tf.features.tables import Features, with_positions
from mpl_tf.features.views import STRONG, WEAK
from mpl_tf.networks import parts
from mpl_tf.options import ConfigError
from mpl_tf.runs import cached, footprint, given_predictions, selected
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
      pretraining: the run whose encoder this one's networks start from; None without `pretrain`.
      eval_split: the same images in the size at which networks are evaluated and finetuned; None if
        it is that of `split`.
      selected: images by which training learns in place of the labeled ones; None without `select`.
      predictions: stored ones of the unlabeled images; None without `predictions`.
      features: what the networks, which are heads, have in place of images; None if they are whole.
    """

    config: config.Config
    split: splits.Split
    views: views_of.Views
    method: Method
    path: str
    output_path: str
    features: Features | None = None
    pretraining: "Experiment | None" = None
    eval_split: splits.Split | None = None
    selected: Images | None = None
    predictions: Predictions | None = None

    @property
    def evaluated(self) -> splits.Split:
        """The images in the size at which networks are evaluated and finetuned."""
        return self.split if self.eval_split is None else self.eval_split

    def prepare(self) -> None:
        """Computes the features that are not cached yet; see `Features.prepare`."""
        if self.features is not None:
            self.features.prepare(self.requests())

    def requests(self) -> list[tuple[str, Images]]:
        """(name of the views, the images) of all cached features that the run reads."""
        is_probed = self.config.network.head_init == "probe"
        plain = list(self.split.images_for_training()) if is_probed else []
        if isinstance(self.method, StoredTeacherMethod) and self.predictions is None:
            plain.append(with_positions(self.split.unlabeled))
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
        labeled, unlabeled, weak, strong = self._read_by_steps(phase, views)

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
                data_service=self.config.compute.data_service,
            )

        batches = devices.distribute(self.method.distribute_strategy, shard)
        # Labels were checked when the images were read: `fit` need not read batches for that.
        labels, classes = labeled.labels, len(self.split.class_names)
        batches.class_counts = np.bincount(labels, minlength=classes)
        return batches

    def pool(self) -> tf.data.Dataset:
        """(images, index) of all unlabeled images, as `pipeline.whole_pool`; or their features."""
        unlabeled = self.split.unlabeled
        if self.features is not None:
            unlabeled = feature_batches.plain(self.features, with_positions(unlabeled))
        return pipeline.whole_pool(unlabeled)

    def _drawn(self, labeled: Images) -> Images:
        """Labeled images as often as batches have them."""
        return splits.equally_frequent(labeled) if self.config.data.balance_labels else labeled

    def _read_by_steps(self, phase, views):
        """(labeled, unlabeled, weak, strong): two pools, and two policies of what is in them."""
        labeled, unlabeled, features = self.split.labeled, self.split.unlabeled, self.features
        if self.selected is not None and phase != FINETUNE:
            labeled = self.selected
        labeled = self._drawn(labeled)
        if features is None and phase == FINETUNE:
            labeled, unlabeled = self._drawn(self.evaluated.labeled), self.evaluated.unlabeled
            return labeled, unlabeled, views_of.finetuning(self.config.data), self.views.strong
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
      ConfigError: the networks cannot be computed in the way that was asked for, a step of them
        does not fit into memory, or stored predictions or a selection are of other images.
    """
    predictions = given_predictions.load(settings, split)
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
    policies = views_of.make(settings.data, height)
    features = None
    if backbone is not None:
        features = cached.make(settings, split, policies, backbone, path)
    first = None
    if settings.run.pretrain:
        first = build(config.pretraining(settings), split, path, strategy, output_path)
    return Experiment(
        settings,
        split,
        policies,
        method,
        path,
        output_path or path,
        features,
        first,
        selected=selected.load(settings, split),
        predictions=predictions,
    )


def with_eval_split(
    experiment: Experiment, load: Callable[[DataConfig], dataset.Source]
) -> Experiment:
    """A run with its images in the size at which networks are evaluated, if that is another one.

    Args:
      experiment: of networks that take them.
      load: reads the images of the run's dataset.

    Raises:
      ConfigError: the images cannot be had in that size, or have changed since they were read.
    """
    side, split = experiment.config.data.eval_image_size, experiment.split
    if not side or tuple(split.labeled.shape[:2]) == (side, side):
        return experiment
    log.info(f"Reading the images at {side}x{side} pixels, for evaluation ...")
    options = cached.data_options(experiment.config, experiment.path)
    source = load(dataclasses.replace(options, image_size=side))
    for part in ("train", "validation", "test"):
        before, now = (getattr(each, part) for each in (split.source, source))
        if before is not None and not (
            np.array_equal(before.ids, now.ids) and np.array_equal(before.labels, now.labels)
        ):
            raise ConfigError(f"the {part} images have changed since they were read. Start again.")
    eval_split, first = make_split(experiment.config, source), experiment.pretraining
    if first is not None:
        first = dataclasses.replace(first, eval_split=eval_split)
    return dataclasses.replace(experiment, eval_split=eval_split, pretraining=first)


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
