"""What is delivered of the best candidate: its export, lists of images, and pictures of them."""

import os
from collections.abc import Sequence

import keras
import numpy as np

from mpl_tf import files
from mpl_tf.auto import label_next, sheets, suspicious, tables
from mpl_tf.auto.material import Material
from mpl_tf.console import log
from mpl_tf.data.dataset import Images
from mpl_tf.runs import folder
from mpl_tf.serving import saved_model


def export(path: str, network: keras.Model, class_names: Sequence[str], temperature: float) -> str:
    """The network as `path`/export/1, the only version; returns its folder.

    Raises:
      OSError: it cannot be written.
    """
    directory = os.path.join(path, folder.EXPORT)
    files.vanish(directory)  # of an interrupted start
    return saved_model.export(network, directory, class_names, temperature=temperature)


def lists(
    path: str, material: Material, probs: np.ndarray, out_of_fold: np.ndarray, count: int
) -> None:
    """Writes predictions, images to label next and suspicious labels, each with a contact sheet.

    Args:
      path: the folder.
      material: the images.
      probs: float [U, K], class probabilities of the unlabeled images.
      out_of_fold: float [N, K], of the labeled images, each without its label's part in it.
      count: images to label next, at most.

    Raises:
      OSError: a list cannot be written.
    """
    source, names = material.source, material.source.class_names
    train, unlabeled = source.train, source.unlabeled
    if isinstance(unlabeled, Images):
        tables.write_predictions(
            os.path.join(path, tables.PREDICTIONS), unlabeled.ids, probs, names
        )
        first = np.arange(min(len(unlabeled), sheets.MOST + 1))
        _sheet(
            path,
            tables.PREDICTIONS,
            "Unlabeled images",
            unlabeled,
            first,
            _likeliest(probs[first], names, 1),
        )
        chosen = label_next.choose(probs, material.features["unlabeled"], count, material.seed)
        tables.write_label_next(
            os.path.join(path, tables.LABEL_NEXT), unlabeled.ids, probs, names, chosen
        )
        _sheet(
            path,
            tables.LABEL_NEXT,
            "Images to label next",
            unlabeled,
            chosen,
            _likeliest(probs[chosen], names, 2),
        )
    positions, classes = suspicious.find(out_of_fold, train.labels)
    tables.write_suspicious(
        os.path.join(path, tables.SUSPICIOUS),
        train.ids,
        train.labels,
        out_of_fold,
        names,
        positions,
        classes,
    )
    lines = [
        (f"labeled {names[train.labels[i]]}", f"predicted {out_of_fold[i, k]:.0%} {names[k]}")
        for i, k in zip(positions, classes, strict=True)
    ]
    _sheet(path, tables.SUSPICIOUS, "Labels that predictions contradict", train, positions, lines)
    log.info(f"{len(positions)} of {len(train)} labels are suspicious")


def _likeliest(probs: np.ndarray, names: Sequence[str], count: int) -> list[tuple[str, ...]]:
    best = np.argsort(-probs, axis=-1, kind="stable")[:, :count]
    return [
        tuple(f"{row[k]:.0%} {names[k]}" for k in classes)
        for row, classes in zip(probs, best, strict=True)
    ]


def _sheet(
    path: str,
    list_name: str,
    title: str,
    images: Images,
    positions: np.ndarray,
    lines: Sequence[Sequence[str]],
) -> None:
    """A contact sheet beside a list; images beyond those that have room are counted, not read."""
    shown = images.take(positions[: sheets.MOST])
    captions = [(sheets.end_of(name), *line) for name, line in zip(shown.ids, lines, strict=False)]
    file = os.path.join(path, os.path.splitext(list_name)[0] + ".png")
    if len(positions) > len(shown):
        title += f", the first {len(shown)}"
    sheets.draw(file, title=title, images=list(shown.images), captions=captions)
