"""Logistic regression on features: the simplest classifier, and a network's head."""

import dataclasses
import warnings
from collections.abc import Iterable

import numpy as np
import threadpoolctl
from scipy import special
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from mpl_tf.features import folds as folding
from mpl_tf.formulas import calibration

# Inverse strengths of the L2 penalty that are tried, for standardised features.
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_DEFAULT = 1e-4  # where no label can be held out
_INNER_FOLDS = 3
_LEAST_SCALE = 1e-6  # of a feature beside the greatest: below it, it is constant


@dataclasses.dataclass(frozen=True)
class Head:
    """A linear layer: logits = features @ kernel + bias.

    Attributes:
      kernel: float32 [F, K].
      bias: float32 [K].
    """

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """float32 [N, K], of features [N, F] as they are."""
        return np.asarray(features, np.float32) @ self.kernel + self.bias

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """float32 [N, K]."""
        return special.softmax(self.logits(features), axis=-1)


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """A head that is as sure as it is right, as far as held-out labels tell.

    Attributes:
      head: its kernel and bias are those of the regression divided by `temperature`.
      strength: of the penalty.
      temperature: of the regression; 1 where the labels determine none.
      images: labeled ones that were held out.
      accuracy, confidence: of them, the share that is answered right, and the mean probability of
        the answer; 0 without images.
    """

    head: Head
    strength: float
    temperature: float
    images: int
    accuracy: float
    confidence: float


@dataclasses.dataclass(frozen=True)
class Moments:
    """By what features are standardised.

    Attributes:
      mean: float64 [F].
      scale: float64 [F], standard deviations; infinite for features that are constant.
    """

    mean: np.ndarray
    scale: np.ndarray


def moments(parts: Iterable[np.ndarray], chunk: int = 4096) -> Moments:
    """Mean and standard deviation of each feature, of all images: labels are not needed.

    Args:
      parts: arrays of features, floating [N, F], N at least 1, also ones that are mapped from a
        file.
      chunk: rows that are read at once.
    """
    count, total, squares, center = 0, 0.0, 0.0, 0.0
    for part in parts:
        for first in range(0, len(part), chunk):
            rows = np.asarray(part[first : first + chunk], np.float64)
            center = rows.mean(axis=0) if not count else center
            rows = rows - center
            count += len(rows)
            total, squares = total + rows.sum(axis=0), squares + np.square(rows).sum(axis=0)
    shift = np.asarray(total) / count
    scale = np.sqrt(np.maximum(np.asarray(squares) / count - np.square(shift), 0))
    constant = scale <= _LEAST_SCALE * scale.max(initial=0)
    return Moments(center + shift, np.where(constant, np.inf, scale))


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    strength: float,
    standard: Moments,
    weights: np.ndarray | None = None,
) -> Head:
    """Logistic regression, as the head of a network that gives the features as they are.

        min_W,b  sum_i w_i cross_entropy(label_i, W (x_i - mean) / scale + b) + |W|^2 / (2 strength)

    Args:
      features: floating [N, F].
      labels: integer [N], class ids.
      num_classes: K, at least 2.
      strength: inverse strength of the penalty.
      standard: by which features are standardised, and which the head contains.
      weights: floating [N], of the images; None is 1 for each.

    Raises:
      ValueError: a class has no label.
    """
    missing = np.setdiff1d(np.arange(num_classes), labels)
    if missing.size:
        raise ValueError(f"each class needs a label; class {missing[0]} has none.")
    x = (np.asarray(features, np.float64) - standard.mean) / standard.scale
    basis = None
    if len(x) < x.shape[1]:  # the penalty keeps W in the span of the images: fewer dimensions
        basis, triangle = np.linalg.qr(x.T)
        x = triangle.T
    model = LogisticRegression(C=strength, max_iter=1000)
    # The matrices are small: threads would wait for each other, for minutes on a busy machine.
    with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
        # An end that is a little early is none the worse.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, labels, weights)
    kernel, bias = model.coef_.T, model.intercept_
    if num_classes == 2:  # scikit-learn has the logit of class 1 alone
        kernel, bias = np.hstack([-kernel, kernel]) / 2, np.append(-bias, bias) / 2
    if basis is not None:
        kernel = basis @ kernel
    kernel = kernel / standard.scale[:, None]
    bias = bias - standard.mean @ kernel
    return Head(kernel.astype(np.float32), bias.astype(np.float32))


def choose_strength(
    features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int, standard: Moments
) -> float:
    """The one of STRENGTHS with the least cross entropy on held-out labels, at its temperature.

    How sure a head is follows from the strength, and is set right afterwards: the proportions of
    its logits alone count. Where no class has two labels none can be held out, and it is the
    strength that mostly serves.

    Args:
      features, labels, num_classes, standard: as for `fit`.
      seed: of the folds.
    """
    folds = folding.stratified(labels, seed, _INNER_FOLDS)
    if not folding.count(folds):
        return _DEFAULT
    scored = folds != folding.NEVER_HELD_OUT

    def cross_entropy(strength: float) -> float:
        logits = out_of_fold(features, labels, num_classes, folds, strength, standard)
        temperature, _ = calibration.determined_temperature(logits[scored], labels[scored])
        return calibration.cross_entropy(logits[scored], labels[scored], temperature)

    return min(STRENGTHS, key=cross_entropy)


def out_of_fold(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    folds: np.ndarray,
    strength: float,
    standard: Moments,
) -> np.ndarray:
    """Logits of each image by a probe that was fitted without the image's fold.

    One strength for all folds makes logits of one scale, that of a probe on all labels: a
    temperature that is fitted on them is right for it.

    Args:
      features, labels, num_classes, strength, standard: as for `fit`.
      folds: integer [N], of `folds.stratified`.

    Returns:
      float64 [N, K]; NaN in the rows of images that are never held out.
    """
    logits = np.full([len(labels), num_classes], np.nan)
    counts = np.bincount(labels, minlength=num_classes)
    for number in range(folding.count(folds)):
        inside = folds == number
        x, y = features[~inside], labels[~inside]
        # Classes have the shares that they have among all labels. Without this, a class with more
        # images in the fold has fewer outside, and the bias would speak against what is held out.
        share = counts / np.maximum(np.bincount(y, minlength=num_classes), 1)
        weights = share[y] * len(y) / len(labels)
        head = fit(x, y, num_classes, strength, standard, weights)
        logits[inside] = head.logits(features[inside])
    return logits


def calibrated(
    features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int, standard: Moments
) -> Calibrated:
    """The head of the best penalty, with the temperature of its out-of-fold logits.

    Args:
      features, labels, num_classes, standard: as for `fit`.
      seed: of the folds.

    Raises:
      ValueError: a class has no label.
    """
    strength = choose_strength(features, labels, num_classes, seed, standard)
    head = fit(features, labels, num_classes, strength, standard)
    folds = folding.stratified(labels, seed)
    scored = folds != folding.NEVER_HELD_OUT
    logits = out_of_fold(features, labels, num_classes, folds, strength, standard)[scored]
    temperature, _ = calibration.determined_temperature(logits, labels[scored])
    probs = calibration.probabilities(logits, temperature)
    right = np.argmax(logits, axis=-1) == labels[scored]
    return Calibrated(
        Head(head.kernel / np.float32(temperature), head.bias / np.float32(temperature)),
        strength,
        temperature,
        len(right),
        float(np.sum(right) / max(len(right), 1)),
        float(np.sum(np.max(probs, axis=-1)) / max(len(right), 1)),
    )
