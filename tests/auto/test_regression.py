"""Logistic regression as a candidate."""

import dataclasses

from mpl_tf.auto import regression
from mpl_tf.features import probe


def test_the_penalty_is_chosen_once(images, monkeypatch):
    calls, choose = [], probe.choose_strength
    monkeypatch.setattr(probe, "choose_strength", lambda *args: calls.append(1) or choose(*args))
    fresh = dataclasses.replace(images)
    first = regression.answers(fresh)
    regression.head(fresh)
    assert len(calls) == 1
    chosen = choose(
        images.features["train"], images.source.train.labels, 3, images.seed, images.standard
    )
    assert fresh.strength == chosen
    assert (regression.answers(dataclasses.replace(images)) == first).all()
