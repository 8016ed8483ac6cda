"""The options of `python -m mpl_tf.auto`."""

import dataclasses

from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class AutoConfig:
    """Which images, for how long, with which network, and where to."""

    dataset: str = option(
        "", "The images: folder:PATH, or another dataset as `python -m mpl_tf.train` takes it."
    )
    minutes: float = option(
        10.0, "Minutes for all that is done, all starts together.", above=0, high=10_000
    )
    network: str = option(
        "",
        "A network, as `python -m mpl_tf.train` takes it. If empty, the best one whose learned "
        "weights can be reached, such as keras:EfficientNetV2B0; if none can, a small one that is "
        "trained from scratch.",
    )
    network_weights: str = option(
        "imagenet",
        "What the backbone starts from: imagenet, a file of weights, or nothing, where the network "
        "comes with weights of its own.",
    )
    workdir: str = option("", "Folder for what is found; if empty, runs/auto-DATASET.", path=True)
    data_dir: str = option(
        "",
        "Folder of TensorFlow Datasets; if empty, $TFDS_DATA_DIR, else ~/tensorflow_datasets.",
        path=True,
    )
    image_size: int = option(
        0,
        "Side of the images in pixels, as `python -m mpl_tf.train` takes it. 0 is 96 to 224 for "
        "networks with learned weights, as the minutes allow, and 32 for others; of digits, 8.",
        low=4,
        high=4096,
        or_zero=True,
    )
    skip_broken: bool = option(
        False, "Count and leave out files that are no readable images, instead of refusing them."
    )
    cache_dir: str = option(
        "", "Folder of cached features; if empty, `features` beside the folder.", path=True
    )
    label_next: int = option(
        100, "Images that are proposed to be labeled next, at most.", low=0, high=100_000
    )
    seed: int = option(0, "Seed of folds, trainings and proposals.", low=0, high=2**31 - 1)
