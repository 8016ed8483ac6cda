"""Selections: streamed over shards as if sorted at once, without held-out images."""

import numpy as np
import pytest

from mpl_tf.options import ConfigError
from mpl_tf.pools import predictions, selection, writing
from mpl_tf.pools.predictions import Predictions

IMAGES, CLASSES, ROWS = 700, 5, 64


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Predictions in 11 shards, many of them equal, of images of which some are copies."""
    rng, path = np.random.default_rng(0), str(tmp_path_factory.mktemp("predictions"))
    probs = (rng.multinomial(40, np.ones(CLASSES) / CLASSES, IMAGES) / 40).astype(np.float16)
    digests = rng.integers(2**63, 2**63 + 600, IMAGES, np.uint64)
    about = predictions.About(
        format=predictions.FORMAT,
        model="m",
        model_path="",
        images="i",
        number_of_images=IMAGES,
        image_shape=[8, 8, 1],
        dataset="digits",
        class_names=list(map(str, range(CLASSES))),
        rows_per_shard=ROWS,
    )
    with writing.begun(path, about):
        for number in predictions.missing(path, about):
            rows = slice(number * ROWS, (number + 1) * ROWS)
            with writing.shard(path, about, number) as (to_probs, to_digests):
                to_probs[:], to_digests[:] = probs[rows], digests[rows]
    return Predictions(path)


def sorted_at_once(stored, per_class, candidates, held_out=()):
    """(class, position) of what is to be chosen, by sorts of all."""
    probs, digests = stored.read(np.arange(IMAGES)).astype(float), stored.digests()
    best = np.argsort(-probs, axis=1, kind="stable")[:, :candidates]
    chosen = []
    for k in range(CLASSES):
        rows = [row for row in range(IMAGES) if k in best[row] and probs[row, k] > 0]
        rows = [row for row in rows if digests[row] not in held_out]
        rows.sort(key=lambda row: (-probs[row, k], digests[row], row))
        seen, kept = set(), []
        for row in rows:
            if digests[row] not in seen:
                kept.append((k, row))
            seen.add(digests[row])
        chosen += kept[:per_class]
    return chosen


def chosen(pairs):
    return list(zip(pairs.classes.tolist(), pairs.positions.tolist(), strict=True))


@pytest.mark.parametrize("candidates", [1, 2, CLASSES])
@pytest.mark.parametrize("per_class", [1, 20, IMAGES])
@pytest.mark.parametrize("waiting", [1, 50, 1 << 16])
def test_streaming_chooses_as_a_sort_of_all(stored, per_class, candidates, waiting, monkeypatch):
    monkeypatch.setattr(selection, "_LEAST_ROWS", waiting)
    monkeypatch.setattr(selection, "_BLOCK_BYTES", 2 * CLASSES * 10)
    pairs, left_out = selection.choose(stored, per_class, candidates, np.empty(0, np.uint64))
    assert chosen(pairs) == sorted_at_once(stored, per_class, candidates)
    assert not left_out
    probs = stored.read(pairs.positions)
    assert (pairs.confidences == probs[np.arange(len(pairs)), pairs.classes]).all()
    assert (pairs.digests == stored.digests()[pairs.positions]).all()


def test_images_that_are_held_out_are_never_chosen(stored):
    digests = stored.digests()
    held_out = np.concatenate([digests[:50], np.array([1, 2], np.uint64)])
    pairs, left_out = selection.choose(stored, IMAGES, 2, held_out)
    assert chosen(pairs) == sorted_at_once(stored, IMAGES, 2, {*held_out.tolist()})
    assert not np.isin(pairs.digests, held_out).any()
    assert left_out == np.isin(digests, held_out).sum() > 50  # copies of them, too


def test_what_is_held_depends_on_the_choice_and_not_on_the_pool(monkeypatch):
    monkeypatch.setattr(selection, "_LEAST_ROWS", 1)
    rng, per_class, block = np.random.default_rng(0), 8, 100
    most = {}
    for blocks in (10, 100):
        surest = selection.Surest(CLASSES, per_class, 2, np.empty(0, np.uint64))
        held = []
        for number in range(blocks):
            probs = rng.random([block, CLASSES]).astype(np.float16)
            surest.add(number * block, probs, rng.integers(0, 2**64, block, np.uint64))
            held.append(surest.held)
        most[blocks] = max(held)
        assert len(surest.pairs()) == CLASSES * per_class
    assert max(most.values()) <= 2 * CLASSES * per_class
    # Of the worst order, in which every image is surer than all before, too.
    surest = selection.Surest(CLASSES, per_class, 1, np.empty(0, np.uint64))
    for number in range(1, 100):
        probs = np.zeros([block, CLASSES], np.float16)
        probs[:, 0] = number / 128
        surest.add(0, probs, rng.integers(0, 2**64, block, np.uint64))
        assert surest.held <= 2 * CLASSES * per_class


def test_more_candidates_than_classes_are_refused(stored):
    with pytest.raises(ConfigError, match=r"at most the 5 classes of .*; received 6"):
        selection.choose(stored, 1, 6, np.empty(0, np.uint64))
