"""What is said of the images: lists of them, and contact sheets of these."""

import os
from collections.abc import Sequence

import numpy as np

from mpl_tf.auto import label_next, sample, sheets, suspicious, tables
from mpl_tf.auto.material import Material
from mpl_tf.console import log
from mpl_tf.data.dataset import Images


def write(
    path: str, material: Material, probs: np.ndarray, out_of_fold: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Writes predictions, images to label next and suspicious labels, each with a contact sheet.

    Args:
      path: the folder.
      material: the images.
      probs: float [U, K], class probabilities of the unlabeled images.
      out_of_fold: float [N, K], of the labeled images, each without its label's part in it.
      count: images to label next, at most.

    Returns:
      (positions of the unlabeled images to label next, those of labeled images with suspicious
      labels).

    Raises:
      OSError: a list cannot be written.
    """
    source, names = material.source, material.source.class_names
    train, unlabeled = source.train, source.unlabeled
    chosen = np.zeros(0, np.int64)
    if isinstance(unlabeled, Images):
        tables.write_predictions(
            os.path.join(path, tables.PREDICTIONS), unlabeled.ids, probs, names
        )
        shown = sample.choose(probs, sheets.MOST)
        title = "Unlabeled images by predicted class, the surest of each first"
        if len(shown) < len(unlabeled):
            title = (
                f"{len(shown)} of {len(unlabeled):,} unlabeled images by predicted class: of each "
                "the surest, then the least sure"
            )
        captions = _likeliest(probs[shown], names, 1)
        _sheet(path, tables.PREDICTIONS, title, unlabeled.take(shown), captions, len(shown))
        open_images = np.flatnonzero(~source.copies)  # others have a label
        chosen = label_next.choose(
            probs, material.features["unlabeled"], count, material.seed, open_images
        )
        tables.write_label_next(
            os.path.join(path, tables.LABEL_NEXT), unlabeled.ids, probs, names, chosen
        )
        first = chosen[: sheets.MOST]
        captions = _likeliest(probs[first], names, 2)
        title = "Images to label next"
        _sheet(path, tables.LABEL_NEXT, title, unlabeled.take(first), captions, len(chosen))
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
    first = positions[: sheets.MOST]
    captions = [
        (f"labeled {names[train.labels[i]]}", f"predicted {names[k]} {out_of_fold[i, k]:.0%}")
        for i, k in zip(first, classes, strict=False)
    ]
    title, contradicted = "Labels that predictions contradict", train.take(first)
    _sheet(path, tables.SUSPICIOUS, title, contradicted, captions, len(positions), names)
    answered = np.all(np.isfinite(out_of_fold), axis=-1)
    right = np.argmax(out_of_fold[answered], axis=-1) == train.labels[answered]
    if len(right):
        look = f": look at them in {tables.SUSPICIOUS}" if len(positions) else ""
        log.info(
            f"{len(positions)} of {len(train)} labels are suspicious to a classifier that is right "
            f"in {np.mean(right):.0%} of the {len(right)} that were held out{look}"
        )
    return chosen, positions


def _likeliest(probs: np.ndarray, names: Sequence[str], count: int) -> list[tuple[str, ...]]:
    best = np.argsort(-probs, axis=-1, kind="stable")[:, :count]
    return [
        tuple(f"{names[k]} {row[k]:.0%}" for k in classes)
        for row, classes in zip(probs, best, strict=True)
    ]


def _sheet(
    path: str,
    list_name: str,
    title: str,
    shown: Images,
    captions: Sequence[tuple[str, ...]],
    of: int,
    class_names: Sequence[str] = (),
) -> None:
    """A contact sheet beside a list.

    Args:
      path: the folder.
      list_name: of the list's file.
      title: of the sheet.
      shown: the images on it.
      captions: what is said of each, below its name.
      of: how many images the list has.
      class_names: in whose folders labeled images lie, which captions say.
    """
    ids, labels = shown.ids, shown.labels
    file = os.path.join(path, os.path.splitext(list_name)[0] + ".png")
    lines = []
    for i, caption in enumerate(captions):
        folders = ["labeled", class_names[labels[i]]] if class_names else ["unlabeled"]
        lines.append((sheets.without_folders(ids[i], *folders), *caption))
    if of > len(shown):
        title += f", the first {len(shown)} of {of}"
    sheets.draw(file, title=title, images=list(shown.images), captions=lines)
