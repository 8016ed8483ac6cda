"""The mean picture of every class, drawn."""

import numpy as np
from matplotlib.figure import Figure

from checking.reading import Dataset
from mpl_tf.runs import drawing

_CLASSES = 100  # in the picture
_IMAGES = 200  # of a class, at most
_COLUMNS = 10


def draw(path: str, dataset: Dataset) -> bool:
    """Writes a PNG with the mean of up to 200 labeled images of each class, drawn by a fixed seed.

    Returns:
      Whether it could be drawn.

    Raises:
      OSError: it cannot be written.
    """
    labels, generator = dataset.contents["labeled"].labels, np.random.default_rng(0)
    rows = [
        generator.permutation(np.flatnonzero(labels == k))[:_IMAGES]
        for k in range(min(len(dataset.class_names), _CLASSES))
    ]
    images = dataset.small("labeled", np.concatenate(rows))
    of_classes = np.split(images, np.cumsum([len(of_class) for of_class in rows])[:-1])
    means = [of_class.mean(axis=0) if len(of_class) else None for of_class in of_classes]

    def make() -> Figure:
        columns = min(len(means), _COLUMNS)
        lines = -(-len(means) // columns)
        figure = Figure(figsize=(1.3 * columns, 1.6 * lines), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for ax in axes:
            ax.axis("off")
        for k, (ax, mean) in enumerate(zip(axes, means, strict=False)):
            if mean is not None:
                ax.imshow(np.round(mean).astype(np.uint8))
            count = int((labels == k).sum())
            ax.set_title(f"{drawing.short(dataset.class_names[k])}\n{count:,} images", fontsize=8)
        return figure

    return drawing.save(path, make, dpi=150)
