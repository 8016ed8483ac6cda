"""Recipes: how this project trains on each dataset that has a name, and pretrained networks."""

from collections.abc import Mapping
from typing import Any

from mpl_tf.config.config import fields
from mpl_tf.config.groups import RunConfig
from mpl_tf.data.dataset import Dataset
from mpl_tf.methods import METHODS

# This project's own: minutes on one core.
_DIGITS = {
    "network": "small",
    "num_labeled": 50,
    "num_validation": 200,
    "exclude_labeled": True,
    "weak": "shift",
    "flip": False,
    "strong": "affine",
    "ramp_steps": 400,  # half of the steps, chosen on validation images (docs/settings.md)
    "strong_views": 2,  # ReMixMatch's eight would cost four times as much
    "divergence_weight": 0.1,  # at its authors' 1 EnAET gives all images one class
    "cutout": 0.0,
    "labeled_batch": 32,
    "unlabeled_ratio": 7,
    "steps": 800,  # 1,000 are no better, on validation images (docs/settings.md)
    "eval_every": 100,
    "student_learning_rate": 0.4,
    "teacher_learning_rate": 0.4,
    "finetune_learning_rate": 1e-3,
    "finetune_steps": 200,
}
# Pham et al. 2021, appendix: CIFAR-10-4K. What is not here is the same as the options' defaults.
_CIFAR = {
    "network": "wide_resnet_28_2",
    "num_validation": 5000,
    "eval_every": 1000,
}
# The paper gives SVHN no batch, steps or rates of its own: CIFAR's are used. Mirrored digits are
# other symbols.
_SVHN = _CIFAR | {"num_labeled": 1000, "flip": False, "num_validation": 7320}
_IMAGENET = {
    "network": "keras:ResNet50",
    "image_size": 224,
    "num_labeled": 128_000,
    "num_validation": 10_000,
    "weak": "resized_crop",
    "randaugment_magnitude": 17.0,
    "cutout": 0.0,
    "labeled_batch": 1024,
    "unlabeled_ratio": 15,
    "steps": 700_000,
    "eval_every": 5000,
    "student_wait_steps": 20_000,
    "teacher_learning_rate": 0.15,
    "label_smoothing": 0.1,
    "weight_decay": 1e-4,
    "dropout": 0.1,
    "ema_decay": 0.999,
    "clip_norm": 5.0,
    "uda_temperature": 0.5,
    "uda_weight": 20.0,
    "uda_ramp_steps": 50_000,
    "finetune_steps": 2000,
}
# This project's own: half the resolution, a small network, minutes on two cores, from 250 labels.
# Views, rates and ramps were chosen on validation images of a seed that no table has
# (docs/settings.md).
_FASHION = {
    "network": "small_16",
    "image_size": 14,
    "num_labeled": 250,
    "num_validation": 1000,
    "weak": "shift",
    "randaugment_magnitude": 6.0,
    "cutout": 0.0,
    "labeled_batch": 16,
    "unlabeled_ratio": 7,  # for methods too whose papers have 1
    "steps": 1600,
    "eval_every": 400,
    "student_learning_rate": 0.8,
    "teacher_learning_rate": 0.8,
    "uda_weight": 2.0,
    "uda_threshold": 0.8,
    "uda_ramp_steps": 600,
    "ramp_steps": 1600,
    "strong_views": 2,  # ReMixMatch's eight would cost four times as much
    "finetune_learning_rate": 0.03,
    "finetune_batch": 64,
    "finetune_steps": 200,
}

# With LARS a layer moves by eta = 0.001 of its weights times the rate: rates that are not set are
# so many times those of SGD. Found on digits, where SimCLR with SGD has 0.4.
RATES, LARS_RATES = ("student_learning_rate", "teacher_learning_rate"), 100.0

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "digits": _DIGITS,
    "cifar10": _CIFAR,
    "cifar100": _CIFAR | {"num_labeled": 10_000},
    "svhn_cropped": _SVHN,
    "fashion_mnist": _FASHION,
    "mnist": _FASHION | {"flip": False},
    "stl10": {"network": "wide_resnet_28_2", "num_labeled": 4000, "num_validation": 1000},
    "imagenet2012": _IMAGENET,
}


# This project's own, of a head on the features of a backbone that does not learn: a minute on two
# cores. Chosen on validation images of two datasets (docs/settings.md).
HEAD: Mapping[str, Any] = {
    "labeled_batch": 64,
    "steps": 400,
    "eval_every": 100,
    "log_every": 20,
    "dropout": 0.0,  # of features: it brings nothing, and takes as long as all else in a step
    "student_learning_rate": 3.0,
    "teacher_learning_rate": 3.0,
    "finetune_learning_rate": 0.3,
    "finetune_steps": 20,
}
# What a method has otherwise there. The student of Meta Pseudo Labels learns quickly from labels of
# views that are easier to the teacher than its own, and that are surer than the teacher. With few
# labels, networks are wrong too often for other methods to trust them as much as in their papers.
HEAD_OF: Mapping[str, Mapping[str, Any]] = {
    "flexmatch": {"student_learning_rate": 30.0, "threshold": 0.7},
    "freematch": {"unlabeled_weight": 0.3},
    "softmatch": {"unlabeled_weight": 0.03},
    "adamatch": {"student_learning_rate": 30.0},
    "mean_teacher": {"unlabeled_weight": 1.0},
    "temporal_ensembling": {"unlabeled_weight": 1.0},
    "mixmatch": {"unlabeled_weight": 0.1},
    "remixmatch": {"unlabeled_weight": 0.3, "anchor_weight": 0.1},
    "enaet": {"unlabeled_weight": 0.1},
    "vat": {"entropy_weight": 0.0},
    "lga_vat": {"unlabeled_weight": 0.1},
    "pseudo_label": {"student_learning_rate": 60.0},
    "noisy_student": {"student_learning_rate": 30.0},
    "reduced_mpl": {
        "student_learning_rate": 60.0,
        "feedback_scale": "unit",
        "feedback_weight": 0.3,  # at 1, with 25 labels a class, it costs points
    },
    "mpl": {
        "student_learning_rate": 60.0,
        "student_wait_steps": 0,
        "teacher_learning_rate": 20.0,
        "feedback_scale": "unit",
        "label_view": "weak",
        "label_temperature": 0.1,
        "uda_weight": 0.0,
    },
}
# What it has otherwise with a head of several layers, which diverges at the rates of a linear one.
DEEPER_HEAD_OF: Mapping[str, Mapping[str, Any]] = {
    "flexmatch": {"student_learning_rate": 3.0},
    "adamatch": {"student_learning_rate": 3.0},
    "pseudo_label": {"student_learning_rate": 6.0, "teacher_learning_rate": 2.0},
    "noisy_student": {"student_learning_rate": 3.0},
    "reduced_mpl": {"student_learning_rate": 6.0, "teacher_learning_rate": 2.0},
    "mpl": {
        "student_learning_rate": 6.0,
        "teacher_learning_rate": 2.0,
        "feedback_weight": 0.1,  # at 1, that of linear heads, it diverges
    },
}
# The same for backbones that learn, too: fewer steps, each of which takes longer.
PRETRAINED: Mapping[str, Any] = {
    **{name: value for name, value in HEAD.items() if name != "dropout"},
    "steps": 200,
    "eval_every": 50,
    "student_wait_steps": 0,
    "teacher_learning_rate": 3.0,
    "uda_weight": 0.5,
    "finetune_learning_rate": 1.0,
    "finetune_steps": 50,
}


def recipe(
    name: str,
    dataset: Dataset,
    method: str,
    train: str = "all",
    pretrained: bool = False,
    head: str = "linear",
) -> dict[str, Any]:
    """Option name -> value, what is better for a run than the options' own defaults.

    Networks that start from learned weights have fewer steps than the dataset's recipe: ramps and
    waits that it counts keep their share of the run.

    Args:
      name: of the dataset, as `--dataset` takes it.
      dataset: which it is; its `sizes` count too.
      method: its name.
      train: what of the networks is trained, as `--train` takes it.
      pretrained: whether they start from learned weights.
      head: what makes logits of features, as `--head` takes it.
    """
    start: Mapping[str, Any] = PRETRAINED if pretrained else {}
    if train == "head":
        start = {**HEAD, **HEAD_OF.get(method, {})}
        if head != "linear":
            start = {**start, **DEEPER_HEAD_OF.get(method, {})}
    of_dataset = dict(RECIPES.get(name, {}))
    if "steps" in start:
        length = start["steps"] / of_dataset.get("steps", RunConfig.steps)
        for field in fields(METHODS[method]):
            if field.metadata["share_of_steps"] and field.name in of_dataset:
                of_dataset[field.name] = int(of_dataset[field.name] * length)
    return {**dataset.sizes, **of_dataset, **start}
