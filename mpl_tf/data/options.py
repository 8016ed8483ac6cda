"""The options of images and of their views."""

import dataclasses

from mpl_tf.augment import self_supervised
from mpl_tf.options import option

STRONG = ("randaugment", "autoaugment", "keras_cv", "affine", "none", *self_supervised.NAMES)
_PALETTES = ("cifar10", "svhn", "imagenet")
WEAK = ("crop", "resized_crop", "shift", "none", *(f"autoaugment_{name}" for name in _PALETTES))
_RANDOM = ("strong", ("randaugment", "keras_cv"))


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which images are read, which of them count as labeled, and what their views are."""

    data_dir: str = option(
        "",
        "Folder of TensorFlow Datasets; if empty, $TFDS_DATA_DIR, else ~/tensorflow_datasets.",
        path=True,
    )
    image_size: int = option(
        0,
        "Side of the images in pixels: the shorter side is resized, the middle is cut out. 0 keeps "
        "images as they are if all are squares of one size (in files, of at most 96 pixels), and "
        "means 32 otherwise, and in TFRecord files.",
        low=4,
        high=4096,
        or_zero=True,
    )
    eval_image_size: int = option(
        0,
        "Side of the images, cut in the same way, on which networks are evaluated, finetuned and "
        "exported; 0: image_size. With weak=resized_crop objects in training look larger than in "
        "whole images, which larger ones make up for (FixRes). For networks that take images of "
        "any size.",
        low=4,
        high=4096,
        or_zero=True,
    )
    num_labeled: int = option(
        4000,
        "Images with labels, the same number of each class; the others lose theirs. 0: all.",
        low=0,
    )
    num_validation: int = option(
        0,
        "Images taken out of train for the curves, the same number of each class, unless the data "
        "has validation images of its own.",
        low=0,
    )
    exclude_labeled: bool = option(
        False,
        "Leave labeled images, and copies of them, out of the unlabeled ones.",
        needs="unlabeled",
    )
    balance_labels: bool = option(
        False,
        "Draw labeled images of all classes equally often, those of rare ones more often each. "
        "Losses then find equally many labels of each class.",
    )
    extra: bool = option(
        False,
        "svhn_cropped: the 531,131 images of its extra split are unlabeled images too.",
        needs="unlabeled",
    )
    split_file: str = option(
        "",
        "A split.json of another run: its labeled and validation images are used here.",
        path=True,
    )
    select: str = option(
        "",
        "Folder of a selection that `python -m mpl_tf.select` made of this dataset: training learns"
        " its images, each by the class that has chosen it, and finetuning the labeled images. For "
        "methods without unlabeled images.",
        path=True,
    )
    predictions: str = option(
        "",
        "Folder of predictions that `python -m mpl_tf.predict --to` has stored of this dataset: "
        "their model takes the place of the teacher that would be trained first.",
        path=True,
        needs="stored_predictions",
    )
    skip_broken: bool = option(
        False, "Count and leave out files that are no readable images, instead of refusing them."
    )
    cache_dir: str = option(
        "",
        "Folder of what runs share: cached features, and which files of --dataset=folder:PATH were "
        "readable, which are checked again once they change. If empty, `features` beside the run "
        "folder.",
        path=True,
    )
    weak: str = option(
        "crop",
        "Weak view, also of labeled images. crop: shifted by up to an eighth, grey outside. "
        "resized_crop: 8 to 100% of the area. shift: by up to a sixteenth, black outside. "
        "autoaugment_*: crop, for imagenet resized_crop, and then AutoAugment's policy for those "
        "images, as --method=supervised has it in the paper.",
        choices=WEAK,
    )
    finetune_weak: str = option(
        "auto",
        "Weak view of finetuning. auto: that of training, but with eval_image_size shift in place "
        "of what begins with resized_crop.",
        choices=("auto", *WEAK),
        beside=("finetune_steps", ()),
    )
    flip: bool = option(
        True,
        "Mirror half of the images left to right in the weak view, and in strong ones that do not "
        "begin with it.",
    )
    strong: str = option(
        "randaugment",
        "Strong view. randaugment (the paper's operations), autoaugment, keras_cv (its "
        "RandAugment): between two weak ones, with cutout. affine: turned, sheared, scaled, moved, "
        "re-lit and cut, black outside. none: another weak one. simclr_pair, "
        "moco_v2_pair, byol_pair and jigsaw (PIRL): the two views of self-supervised methods.",
        choices=STRONG,
        needs="strong",
    )
    randaugment_layers: int = option(
        2, "Operations an image in RandAugment.", low=1, high=32, needs="strong", beside=_RANDOM
    )
    randaugment_magnitude: float = option(
        16.0,
        "Level of RandAugment's operations, from 0 to 30; 10 is the reference.",
        low=0,
        high=30,
        needs="strong",
        beside=_RANDOM,
    )
    autoaugment_policy: str = option(
        "cifar10",
        "Images for which the policy of AutoAugment was found.",
        choices=_PALETTES,
        needs="strong",
        beside=("strong", ("autoaugment",)),
    )
    cutout: float = option(
        0.5,
        "Side of the square cut out of the strong view, as a share of the image's.",
        low=0,
        high=1,
        needs="strong",
        beside=("strong", ("randaugment", "autoaugment", "keras_cv")),
    )
