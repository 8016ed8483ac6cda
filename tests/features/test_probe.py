"""Logistic regression on features, against scikit-learn's, and on images that it has not seen."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mpl_tf.features import folds, probe
from mpl_tf.formulas import calibration as formulas


def cluster_features(rng, count, size, classes=3, noise=1.0):
    """Features of classes around different means, of different scales; labels in turn."""
    labels = np.arange(count) % classes
    means = np.random.default_rng(7).normal(size=(classes, size))
    scales = np.geomspace(0.01, 10, size)
    features = (means[labels] + noise * rng.normal(size=(count, size))) * scales + 3
    return features.astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("count", "size"), [(200, 10), (24, 60)])
def test_the_head_is_scikit_learns_standardised_regression(rng, classes, count, size):
    features, labels = cluster_features(rng, count, size, classes)
    head = probe.fit(features, labels, classes, 0.1, probe.moments([features]))
    assert head.kernel.shape == (size, classes) and head.kernel.dtype == np.float32
    expected = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-8, max_iter=5000))
    expected.fit(features, labels)
    others, _ = cluster_features(rng, 50, size, classes)
    np.testing.assert_allclose(
        head.probabilities(others), expected.predict_proba(others), atol=2e-3
    )


def test_moments_of_chunks_are_those_of_all(rng):
    features = (1000 + rng.normal(size=(1001, 5))).astype(np.float32)
    features[:, 2] = 4
    result = probe.moments([features[:300], features[300:]], chunk=130)
    np.testing.assert_allclose(result.mean, features.mean(axis=0, dtype=np.float64))
    expected = features.std(axis=0, dtype=np.float64)
    expected[2] = np.inf
    np.testing.assert_allclose(result.scale, expected, rtol=1e-6)


def test_constant_features_have_no_weight(rng):
    features, labels = cluster_features(rng, 60, 6)
    features[:, 1] = 2
    head = probe.fit(features, labels, 3, 1.0, probe.moments([features]))
    assert np.all(np.isfinite(head.kernel)) and not head.kernel[1].any()
    features[:, :] = 1
    head = probe.fit(features, labels, 3, 1.0, probe.moments([features]))
    assert not head.kernel.any() and np.all(np.isfinite(head.bias))


def test_out_of_fold_logits_are_of_probes_that_have_not_seen_the_image(rng):
    """Labels that say nothing are not predicted, though a probe could learn them by heart."""
    features, labels = rng.normal(size=(90, 200)), np.arange(90) % 3
    standard = probe.moments([features])
    numbers = folds.stratified(labels, 0)
    logits = probe.out_of_fold(features, labels, 3, numbers, 1.0, standard)
    assert np.mean(logits.argmax(axis=1) == labels) < 0.5
    fitted = probe.fit(features, labels, 3, 1.0, standard).probabilities(features)
    assert np.mean(fitted.argmax(axis=1) == labels) > 0.9


def test_an_image_that_is_never_held_out_has_no_prediction(rng):
    features, labels = cluster_features(rng, 31, 8)
    labels = np.minimum(labels, 1)
    labels[30] = 2
    numbers = folds.stratified(labels, 0)
    logits = probe.out_of_fold(features, labels, 3, numbers, 1.0, probe.moments([features]))
    assert np.all(np.isnan(logits[30])) and np.all(np.isfinite(logits[:30]))


@pytest.mark.parametrize("noise", [2.0, 3.0, 4.0])
def test_the_penalty_is_good_for_other_images_whatever_the_temperature(rng, noise):
    features, labels = cluster_features(rng, 60, 40, noise=noise)
    others, truth = cluster_features(rng, 3000, 40, noise=noise)
    standard = probe.moments([features])

    def cross_entropy(strength):
        logits = probe.fit(features, labels, 3, strength, standard).logits(others)
        return formulas.cross_entropy(logits, truth, formulas.fit_temperature(logits, truth))

    of_each = {strength: cross_entropy(strength) for strength in probe.STRENGTHS}
    chosen = of_each[probe.choose_strength(features, labels, 3, 0, standard)]
    least, greatest = min(of_each.values()), max(of_each.values())
    assert greatest > 1.02 * least
    assert chosen - least < 0.3 * (greatest - least)


def test_one_label_a_class_is_enough(rng):
    features, labels = cluster_features(rng, 3, 20)
    standard = probe.moments([cluster_features(rng, 300, 20)[0]])
    result = probe.calibrated(features, labels, 3, 0, standard)
    assert (result.strength, result.temperature, result.images) == (1e-4, 1.0, 0)
    assert list(result.head.probabilities(features).argmax(axis=1)) == [0, 1, 2]


def test_a_calibrated_head_is_as_sure_as_it_is_right(rng):
    """Of the images that were held out, and of others; the regression itself is not."""
    features, labels = cluster_features(rng, 120, 40, noise=3.0)
    others, truth = cluster_features(rng, 3000, 40, noise=3.0)
    standard = probe.moments([features])
    result = probe.calibrated(features, labels, 3, 0, standard)
    regression = probe.fit(features, labels, 3, result.strength, standard)
    logits = result.temperature * result.head.logits(others)
    np.testing.assert_allclose(logits, regression.logits(others), rtol=1e-4, atol=1e-5)
    assert result.images == 120 and result.confidence == pytest.approx(result.accuracy, abs=0.03)
    for head, least, greatest in ((result.head, 0, 0.05), (regression, 0.1, 1)):
        probs = head.probabilities(others)
        right = np.mean(probs.argmax(axis=1) == truth)
        assert least <= abs(np.mean(probs.max(axis=1)) - right) <= greatest


def test_a_class_without_labels_is_refused(rng):
    features, labels = cluster_features(rng, 30, 4)
    with pytest.raises(ValueError, match="class 3 has none"):
        probe.fit(features, labels, 4, 1.0, probe.moments([features]))
