"""The user's own arrays and tf.data.Datasets as training data."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf import data
from mpl_tf.data import pairing
from mpl_tf.options import ConfigError


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (90, 8, 8, 3), np.uint8)


LABELS = np.arange(20) % 4
PLAIN = {"weak": None, "strong": None, "labeled_batch": 4, "unlabeled_ratio": 3}


def take(dataset, count=1):
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def names(batch):
    return {image.tobytes() for image in batch}


def test_two_arrays(images):
    batches = take(data.pair((images[:20], LABELS), images[20:], **PLAIN), 40)
    assert {batch["labeled"].shape for batch in batches} == {(4, 8, 8, 3)}
    of = {i.tobytes(): k for i, k in zip(images[:20], LABELS, strict=True)}
    for batch in batches:
        assert [of[i.tobytes()] for i in batch["labeled"]] == list(batch["label"])
        np.testing.assert_array_equal(batch["weak"], batch["strong"])
    assert set().union(*(names(batch["weak"]) for batch in batches)) == names(images)  # labeled too
    assert batches[0].keys() == {"labeled", "label", "weak", "strong"}  # no label is known


@pytest.mark.parametrize("exclude", [False, True])
def test_minus_one_marks_the_unlabeled(images, exclude):
    labels = np.concatenate([LABELS, np.full(70, -1)])
    batches = take(data.pair((images, labels), exclude_labeled=exclude, **PLAIN), 40)
    assert set().union(*(names(batch["labeled"]) for batch in batches)) == names(images[:20])
    pool = images[20:] if exclude else images
    assert set().union(*(names(batch["weak"]) for batch in batches)) == names(pool)


def test_arrays_are_step_addressable_with_the_default_views(images):
    def make(**kwargs):
        return data.pair((images[:20], LABELS), images[20:], labeled_batch=4, **kwargs)

    straight = take(make(), 6)
    for a, b in zip(straight[3:], take(make(start=3), 3), strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    assert not np.array_equal(straight[0]["weak"], straight[0]["strong"])


def test_datasets_of_the_user(images):
    labeled = tf.data.Dataset.from_tensor_slices((images[:20], LABELS))
    unlabeled = tf.data.Dataset.from_tensor_slices(images[20:])
    batches = take(data.pair(labeled, unlabeled, **PLAIN), 40)
    assert set().union(*(names(batch["labeled"]) for batch in batches)) == names(images[:20])
    assert set().union(*(names(batch["weak"]) for batch in batches)) == names(images[20:])
    assert batches[0]["label"].dtype == np.int64
    again = take(data.pair(labeled, unlabeled, **PLAIN), 2)
    np.testing.assert_array_equal(batches[1]["weak"], again[1]["weak"])  # a seeded buffer
    alone = take(data.pair(labeled, **PLAIN), 40)
    assert set().union(*(names(batch["weak"]) for batch in alone)) == names(images[:20])


def test_grey_images_may_come_without_a_channel():
    grey = np.zeros([12, 8, 8], np.uint8)
    batch = take(data.pair((grey, np.arange(12) % 2), **PLAIN))[0]
    assert batch["weak"].shape == (12, 8, 8, 1)


def test_images_are_held_once(images):
    parts = pairing._parts((images[:20], LABELS), images[20:], False, None)
    assert parts[0].store is parts[1].store


def faulty(images):
    nan = images[:20].astype(np.float32)
    nan[0, 0, 0] = np.nan
    unbatched = tf.data.Dataset.from_tensor_slices((images[:20], LABELS))
    return {
        "NaN": ((nan, LABELS), None, "hold NaN"),
        "scaled": ((images[:20] / 255.0, LABELS), None, r"with \(images \* 255.0\).round"),
        "rank": ((images[0, 0], LABELS), None, r"received shape \(8, 3\)"),
        "channels": ((images[..., :2], np.zeros(90, int)), None, "C 1 or 3"),
        "none": ((images[:0], LABELS[:0]), None, "N at least 1"),
        "lengths": ((images[:20], LABELS[:5]), None, "20 images and 5 labels"),
        "float labels": ((images[:20], LABELS / 2), None, r"whole numbers \[N\]; received float64"),
        "one-hot": (
            (images[:20], np.eye(4, dtype=int)[LABELS]),
            None,
            "labels.argmax.axis=-1. makes",
        ),
        "too low": ((images[:20], LABELS - 2), None, "received -2 to 1"),
        "too high": ((images[:20], LABELS + 1), None, "from -1 to 3"),
        "unlabeled": ((images[:20], LABELS * 0 - 1), None, "every label is -1"),
        "no pair": (images, None, "received ndarray"),
        "shapes": ((images[:20], LABELS), images[:, :4], "must have one shape"),
        "few": ((images[:3], LABELS[:3]), None, "at most the 3 labeled images; received 4"),
        "batched": (unbatched.batch(5), None, "not batches"),
        "endless": (unbatched.repeat(), None, "must be finite"),
        "no labels": (unbatched.map(lambda image, label: image), None, r"\(image, label\)"),
        "no int": (unbatched.map(lambda i, k: (i, tf.as_string(k))), None, "received string"),
        "empty": (unbatched.take(0), None, "at least one element"),
        "labels too": ((images[:20], LABELS), (images, LABELS), "received a tuple of 2"),
        "255": ((images[:20], np.append(LABELS[1:], -1).astype(np.uint8)), None, "array of int64"),
        "float set": (unbatched.map(lambda i, k: (tf.cast(i, tf.float32), k)), None, "uint8"),
    }


@pytest.mark.parametrize("name", faulty(np.zeros([90, 8, 8, 3], np.uint8)))
def test_bad_input_is_refused_in_words(images, name):
    labeled, unlabeled, message = faulty(images)[name]
    with pytest.raises(ConfigError, match=message):
        data.pair(labeled, unlabeled, num_classes=4, labeled_batch=4)


@pytest.mark.parametrize("labels", [LABELS[:, None], LABELS.astype(float), LABELS.tolist()])
def test_labels_in_their_usual_forms_are_taken(images, labels):
    pairs = data.pair((images[:20], labels), **PLAIN)
    assert pairs.class_counts.tolist() == np.bincount(LABELS).tolist()


def test_labels_of_a_dataset_that_are_no_whole_numbers_are_not_cut(images):
    labels = LABELS + np.float32(0.75)
    streams = [tf.data.Dataset.from_tensor_slices(part) for part in ((images[:20], labels), images)]
    pairs = data.pair(*streams, **PLAIN)
    assert set(take(pairs, 1)[0]["label"] % 1) == {0.75}


@pytest.mark.parametrize(
    ("images", "labels", "text"),
    [
        (
            np.full([8, 8, 8, 3], 9, np.uint8),
            [1, 2, 5, 1, 2, 5, 1, -1],
            "3 labels below it, such as 0",
        ),
        (np.ones([8, 8, 8, 3], np.uint8), [0, 1] * 4, "at most 1, of 0 to 255: nearly black"),
        (np.full([8, 8, 8, 3], 9, np.uint8), [0, 1] * 4, ""),
    ],
)
def test_what_is_likely_a_mistake_is_said(images, labels, text, caplog):
    data.pair((images, labels), **PLAIN | {"labeled_batch": 2, "unlabeled_ratio": 1})
    messages = [record.message for record in caplog.records if "mpl_tf" in record.name]
    assert len(messages) == bool(text) and all(text in message for message in messages)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strong": "stronger"}, "strong must be 'auto' or 'randaugment' or .*, None"),
        ({"strong": "affine", "weak": None}, "received 'affine'"),
        ({"weak": "shift"}, "weak must be 'crop', None, .* received 'shift'"),
        ({"weak": "none"}, "received 'none'"),
        ({"seed": 1.5}, "seed must be a whole number from 0 to 2.63; received 1.5"),
        ({"seed": 2**70}, "received 1180591620717411303424"),
        ({"seed": "a"}, "received 'a'"),
        ({"start": -1}, "start must be .* received -1"),
    ],
)
def test_views_and_numbers_must_be_known(images, arguments, message):
    with pytest.raises(ConfigError, match=message):
        data.pair((images[:20], LABELS), **arguments)


def test_a_dataset_starts_at_step_0_alone(images):
    labeled = tf.data.Dataset.from_tensor_slices((images[:20], LABELS))
    with pytest.raises(ConfigError, match="received start=3"):
        data.pair(labeled, start=3)


def test_more_views_and_places_in_the_pool(images):
    views = ("weak", "strong_2", "index")
    pairs = data.pair((images[:20], LABELS), images[20:], **PLAIN, views=views)
    count, batches = pairs.num_unlabeled, take(pairs, 40)
    assert batches[0].keys() == {"labeled", "label", *views}
    assert set(np.concatenate([batch["index"] for batch in batches])) == set(range(count))
    columns = (np.concatenate([b[name] for b in batches]) for name in ("index", "strong_2"))
    distinct = {(index, image.tobytes()) for index, image in zip(*columns, strict=True)}
    assert len(distinct) == count == 90  # one image a place


def test_a_dataset_has_no_places(images):
    streamed = tf.data.Dataset.from_tensor_slices(images[20:])
    labeled = (images[:20], LABELS)
    with pytest.raises(ConfigError, match="needs a pool of known size"):
        data.pair(labeled, streamed, **PLAIN, views=("weak", "index"))


METHOD_VIEWS = {
    mpl_tf.Supervised: set(),
    mpl_tf.VAT: {"weak"},
    mpl_tf.MixMatch: {"weak", "weak_2"},
    mpl_tf.FlexMatch: {"weak", "strong", "index"},
    mpl_tf.ReMixMatch: {"weak", "strong", *(f"strong_{n}" for n in range(2, 9))},
}


@pytest.mark.parametrize("method", METHOD_VIEWS, ids=lambda method: method.__name__)
def test_a_method_says_what_it_reads(images, method):
    pairs = data.pair((images[:20], LABELS), images[20:], method=method, **PLAIN)
    assert pairs.element_spec.keys() == {"labeled", "label", *METHOD_VIEWS[method]}


def test_an_object_says_what_it_reads_where_a_hyperparameter_counts(images):
    network = mpl_tf.NETWORKS["small"](4, (8, 8, 3))
    method = mpl_tf.ReMixMatch(network, strong_views=3, rotation_weight=0.0)
    pairs = data.pair((images[:20], LABELS), images[20:], method=method, **PLAIN)
    assert pairs.element_spec.keys() == {
        "labeled",
        "label",
        "weak",
        "strong",
        "strong_2",
        "strong_3",
    }


@pytest.mark.parametrize(
    ("num_labeled", "num_unlabeled", "settings", "sizes"),
    [
        (20, 70, {}, (20, 80)),  # of 90 images: four for each labeled one
        (3, 0, {}, (3, 3)),
        (20, 0, {"unlabeled_ratio": 4}, (5, 20)),
        (20, 10, {"labeled_batch": 4}, (4, 28)),
        (20, 0, {"unlabeled_ratio": 3, "views": ()}, (20, None)),
        (20, 10, {"exclude_labeled": True}, (10, 10)),
    ],
)
def test_batches_that_are_not_asked_for_fit_few_images(
    images, num_labeled, num_unlabeled, settings, sizes
):
    more = images[20 : 20 + num_unlabeled] if num_unlabeled else None
    labeled = (images[:num_labeled], LABELS[:num_labeled])
    pairs = data.pair(labeled, more, weak=None, strong=None, **settings)
    batch = {name: spec.shape[0] for name, spec in pairs.element_spec.items()}
    assert (batch["label"], batch.get("weak")) == sizes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labeled_batch": 20, "unlabeled_ratio": 2}, "most the 20 unl.*20 [*] 2. Leave one"),
        ({"unlabeled_ratio": 21}, "received 1 [*] 21"),
        ({"labeled_batch": 0}, "labeled_batch must be a whole number of at least 1; received 0"),
        ({"unlabeled_ratio": 1.5}, "unlabeled_ratio must be a whole number .* received 1.5"),
    ],
)
def test_batches_that_are_asked_for_must_fit(images, settings, message):
    with pytest.raises(ConfigError, match=message):
        data.pair((images[:20], LABELS), **settings)


def scaled(images, draws):
    return tf.cast(images, tf.float32) / 255


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (scaled, r"float32 .* from 0 to 1. Let it return .*to_uint8\(255.0 [*] view\)"),
        (lambda i, d: tf.cast(i, tf.float32), r"from 0 to 255. Let it return .*to_uint8\(view\)"),
        (lambda i, d: tf.cast(scaled(i, d), tf.uint8), "uint8 .* from 0 to 1"),
        (lambda i, d: scaled(i, d) * 2 - 1, r"to_uint8\(127.5 [*] view [+] 127.5\)"),
        (lambda i, d: i[:, :4], r"of \[4, 8, 8, 3\] it made uint8 \[4, 4, 8, 3\]"),
        (keras.layers.Rescaling(1 / 255), r"let keras.layers.Rescaling\(255.0\) follow"),
        (keras.layers.Rescaling(1 / 127.5, -1), r"Rescaling\(127.5, offset=127.5\) follow"),
        (keras.layers.Flatten(), r"it made float32 \[4, 192\]"),
    ],
)
@pytest.mark.parametrize("name", ["weak", "strong"])
def test_a_view_that_gives_no_images_is_refused(images, name, view, message):
    with pytest.raises(ConfigError, match=f"{name} must give images as it takes them.*{message}"):
        data.pair((images[:20], LABELS), **{name: view})


def test_a_view_that_the_method_does_not_read_is_not_looked_at(images):
    data.pair((images[:20], LABELS), strong=scaled, method=mpl_tf.VAT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "flexmatch"}, "method must be a method's class.*received 'flexmatch'"),
        ({"method": mpl_tf.VAT, "views": ("weak",)}, r"method or views, not both.*\('weak',\)"),
    ],
)
def test_a_method_is_a_class_or_an_object_and_alone(images, arguments, message):
    with pytest.raises(ConfigError, match=message):
        data.pair((images[:20], LABELS), images[20:], **arguments)


def test_the_data_says_what_networks_and_methods_are_built_with(images):
    pairs = data.pair((images[:20], LABELS), images[20:], method=mpl_tf.FlexMatch, **PLAIN)
    assert (pairs.num_unlabeled, pairs.num_classes) == (90, 4)
    assert pairs.image_shape == (8, 8, 3)
    network = mpl_tf.NETWORKS["small"](pairs.num_classes, pairs.image_shape)
    model = mpl_tf.FlexMatch(network, num_unlabeled=pairs.num_unlabeled)
    model.compile("sgd")
    model.fit(pairs, steps_per_epoch=2, verbose=0)

    more = data.pair(
        (images[:20], LABELS), images[20:], num_classes=7, exclude_labeled=True, **PLAIN
    )
    assert (more.num_unlabeled, more.num_classes) == (70, 7)


def test_what_streams_do_not_tell_is_none(images):
    labeled = tf.data.Dataset.from_tensor_slices((images[:20], LABELS))
    pairs = data.pair(labeled, images[20:], **PLAIN)
    assert (pairs.num_unlabeled, pairs.num_classes) == (70, None)
    assert pairs.image_shape == (8, 8, 3)
    assert data.pair(labeled, num_classes=4, **PLAIN).num_unlabeled is None


def test_more_images_may_be_arrays_beside_images_of_a_source(images):
    source = data.DATASETS["digits"].load()
    pairs = data.pair(source.train, np.zeros([30, 8, 8], np.uint8), **PLAIN)
    assert pairs.num_unlabeled == 30  # of another store: the labeled ones are not added


def test_balanced_labels_are_drawn_equally_often(rng):
    images = rng.integers(0, 256, (24, 8, 8, 1), np.uint8)
    labels = np.array([0] * 20 + [1] * 4)
    data = mpl_tf.data.pair((images, labels), labeled_batch=8, balance_labels=True)
    assert data.class_counts.tolist() == [20, 20]
    seen = np.concatenate([batch["label"] for batch in data.take(5).as_numpy_iterator()])
    assert np.bincount(seen).tolist() == [20, 20]
    plain = mpl_tf.data.pair((images, labels), labeled_batch=8)
    assert plain.class_counts.tolist() == [20, 4]
    singles = tf.data.Dataset.from_tensor_slices((images, labels))
    with pytest.raises(ConfigError, match="balance_labels needs labels that are known"):
        mpl_tf.data.pair(singles, labeled_batch=8, balance_labels=True)
