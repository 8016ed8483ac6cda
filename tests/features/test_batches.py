"""Training a head on cached features is training it behind the frozen backbone."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf.augment.draws import Draws
from mpl_tf.data import pipeline
from mpl_tf.engine.stored_teacher import StoredTeacherMethod
from mpl_tf.features import batches, compute
from mpl_tf.features.tables import with_positions
from mpl_tf.features.views import CHUNK, PLAIN, STRONG, WEAK
from mpl_tf.formulas import random
from mpl_tf.methods import METHODS
from mpl_tf.networks import heads, parts

STEPS = 4
# What gives as many batches as the steps: ramps at their end, and few views.
MORE = {"remixmatch": {"strong_views": 2}}


@pytest.fixture(scope="module")
def prepared(features_in, images, tmp_path_factory):
    """Features in float32 of all images and views, and the pool: both parts."""
    folder = tmp_path_factory.mktemp("features")
    features = features_in(folder, cache_dtype="float32", cached_strong_views=3)
    pool = images["train"].join(images["unlabeled"])
    features.prepare([(name, pool) for name in (PLAIN, WEAK, STRONG)])
    return features, pool


def draw(features, labeled, pool, views, **more):
    """Training batches of features."""
    weak, strong = (
        batches.CachedView(features, features.view_set(name)) for name in (WEAK, STRONG)
    )
    arguments = {"labeled_batch": 6, "unlabeled_batch": 12, "seed": 3, **more}
    return pipeline.training_batches(
        batches.rows(features, labeled),
        batches.rows(features, pool),
        views=views,
        weak=weak,
        strong=strong,
        **arguments,
    )


class Pixels:
    """A policy: the pixels of the view that `CachedView` looks up, made anew."""

    def __init__(self, images, view_set):
        made = []
        for part in images:
            chunks = list(range(-(-len(part) // CHUNK)))
            seen = np.stack(list(compute.pixels(part, view_set, chunks)))
            seen = seen.reshape(len(chunks), view_set.count, *seen.shape[1:])
            seen = np.moveaxis(seen, 1, 2).reshape(-1, view_set.count, *seen.shape[3:])
            made.append(seen[: len(part)])
        self.views, self.count = tf.constant(np.concatenate(made)), view_set.count

    def __call__(self, rows, draws):
        numbers = draws.integers(0, 0, self.count)
        return tf.gather_nd(self.views, tf.stack([tf.cast(rows, tf.int32), numbers], 1))


def test_a_process_that_trains_again_and_again_keeps_no_images(features_in, images, tmp_path):
    """What TensorFlow remembers of a dataset's functions holds neither features nor images."""
    features = features_in(tmp_path, cache_dtype="float32")
    pool = images["train"].join(images["unlabeled"])
    features.prepare([(name, pool) for name in (WEAK, STRONG)])
    data = draw(features, images["train"], pool, ("weak", "strong"))
    assert len(list(data.take(1))) == 1
    held = weakref.ref(features)
    del features, data
    gc.collect()
    assert held() is None


def test_batches_are_a_function_of_seed_and_step(prepared, images):
    features, pool = prepared
    views = ("weak", "strong", "weak_2", "index")
    data = list(draw(features, images["train"], pool, views).take(3).as_numpy_iterator())
    (later,) = draw(features, images["train"], pool, views, start=2).take(1).as_numpy_iterator()
    for name, value in later.items():
        np.testing.assert_array_equal(value, data[2][name], err_msg=name)
    assert data[0]["labeled"].dtype == np.float32
    assert data[0]["labeled"].shape == (6, 5)
    assert data[0]["strong"].shape == (12, 5)
    assert np.any(data[0]["weak"] != data[0]["weak_2"])


def test_shards_together_are_the_batch(prepared, images):
    features, pool = prepared
    (whole,) = draw(features, images["train"], pool, ("weak", "index")).take(1).as_numpy_iterator()
    halves = [
        next(
            draw(
                features, images["train"], pool, ("weak", "index"), shard=(i, 2)
            ).as_numpy_iterator()
        )
        for i in range(2)
    ]
    for name, value in whole.items():
        together = np.concatenate([half[name] for half in halves])
        np.testing.assert_array_equal(value, together, err_msg=name)


def test_every_cached_view_is_drawn_alike(prepared):
    features, _ = prepared
    strong = features.view_set(STRONG)
    rows = tf.zeros([600], tf.int64)
    seen = batches.CachedView(features, strong)(rows, Draws(random.key(0, 0, 0), 600)).numpy()
    kept = features.read(strong, np.zeros(3, np.int64), np.arange(3))
    counts = [np.all(seen == each, axis=1).sum() for each in kept]
    assert sum(counts) == 600
    assert min(counts) > 150


def test_evaluation_sees_plain_features_in_order(prepared, images):
    features, _ = prepared
    some = images["unlabeled"].take([60, 2, 7])
    data = list(pipeline.evaluation_batches(batches.plain(features, some), padded=True))
    ((seen, label, weight),) = data
    np.testing.assert_allclose(seen[:3], features.backbone(some.images, training=False), 1e-5, 1e-6)
    np.testing.assert_array_equal(label[:3], some.labels)
    assert list(weight) == [1, 1, 1] + [0] * 5


def trained(name, networks, data, num_unlabeled, pool=(), seed=1):
    """A method after STEPS steps; its networks by role. `pool`: (features, index) of all images."""
    method_class = METHODS[name]
    roles = [role.removesuffix("_optimizer") for role in method_class.optimizers]
    more = dict(MORE.get(name, {}))
    if method_class.needs_num_unlabeled():
        more["num_unlabeled"] = num_unlabeled
    method = method_class(**{role: networks(role) for role in roles}, seed=seed, **more)
    method.compile(**{role: keras.optimizers.SGD(0.5) for role in method_class.optimizers})
    if method.pretraining_phases():
        method.pretrain(data(method), steps=STEPS, verbose=0)
    if isinstance(method, StoredTeacherMethod):
        method.store_predictions(pool)
    method.fit(data(method), steps_per_epoch=STEPS, verbose=0)
    return method


def a_head(role):
    return heads.build(3, 5, seed={"student": 1, "teacher": 2}[role], dropout=0.0, form="mlp_4")


# Methods that mix or perturb images do so with features: others than those of what is mixed.
@pytest.mark.parametrize("name", ["fixmatch", "mpl"])
def test_cached_and_uncached_training_agree(name, prepared, images, make_backbone):
    features, pool = prepared

    def cached(method):
        return draw(features, images["train"], pool, method.unlabeled_views)

    def uncached(method):
        weak, strong = (Pixels(images.values(), features.view_set(each)) for each in (WEAK, STRONG))
        return pipeline.training_batches(
            _RowsOfImages(batches.rows(features, images["train"])),
            _RowsOfImages(batches.rows(features, pool)),
            views=method.unlabeled_views,
            weak=weak,
            strong=strong,
            labeled_batch=6,
            unlabeled_batch=12,
            seed=3,
        )

    def whole(role):
        backbone = make_backbone(dropout=0.0)  # what is frozen gives the same each time
        backbone.set_weights(features.backbone.get_weights())
        backbone.trainable = False
        return parts.join(backbone, a_head(role))

    heads_alone = trained(name, a_head, cached, len(pool))
    networks = trained(name, whole, uncached, len(pool))
    for role, head in heads_alone.networks.items():
        start = a_head("student").get_weights()
        expected = parts.head(networks.network(role)).get_weights()
        for value, other in zip(head.get_weights(), expected, strict=True):
            np.testing.assert_allclose(value, other, atol=1e-5, err_msg=role)
        if role == "student":
            assert any(np.any(v != s) for v, s in zip(head.get_weights(), start, strict=True))


class _RowsOfImages:
    """A pool of rows, of which policies make images."""

    def __init__(self, pool):
        self._pool, self.shape, self.size = pool, (8, 8, 3), pool.size
        self.has_hidden_labels, self.batches = pool.has_hidden_labels, pool.batches


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_on_features(name, prepared, images):
    features, pool = prepared
    method = trained(
        name,
        a_head,
        lambda method: draw(features, images["train"], pool, method.unlabeled_views),
        len(pool),
        pipeline.whole_pool(batches.plain(features, with_positions(pool))),
    )
    before = a_head("student").get_weights()
    after = method.student.get_weights()
    assert all(np.isfinite(value).all() for value in after)
    assert any(np.any(value != old) for value, old in zip(after, before, strict=True))


def test_rectangles_of_features_are_refused():
    with pytest.raises(mpl_tf.ConfigError, match=r"mix=cutmix cuts rectangles out of images"):
        mpl_tf.Supervised(a_head("student"), mix="cutmix")
