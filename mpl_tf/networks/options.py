"""The options of networks that have a backbone and a head."""

import dataclasses

from mpl_tf.networks import freezing, heads, stems
from mpl_tf.options import option


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """What networks of a backbone and a head start from."""

    network_weights: str = option(
        "",
        "What the backbone of keras:NAME starts from. imagenet: the weights that Keras publishes, "
        "downloaded into its folder (~/.keras/models). A file of weights without the top. If "
        "empty, random ones.",
        path=True,
    )
    stem: str = option(
        "auto",
        "Where networks for large images begin. large: a convolution of stride 2 and pooling, "
        "which divide the sides of the image by four. small: a 3x3 convolution of stride 1. auto: "
        "small for images of less than 64 pixels.",
        choices=stems.STEMS,
    )
    drop_block: float = option(
        0.0,
        "Share of the maps of a ResNet's last stage that DropBlock drops at the end of training; a "
        "quarter of it in the stage before.",
        low=0,
        below=1,
    )
    drop_block_size: int = option(
        7, "Side of DropBlock's squares.", low=1, high=10_000, beside=("drop_block", ())
    )
    head: str = option("linear", f"What makes logits of a backbone's features: {heads.FORMS}.")
    head_init: str = option(
        "seed",
        "What a linear head starts from. seed: random weights, or the head of as many classes that "
        "the network brings. new: random weights in any case. probe: a logistic regression on the "
        "features of the labeled images, as sure as it is right on held-out ones, so that what is "
        "confident passes thresholds from the first step on; a head that the network brings gives "
        "way. For networks with learned weights.",
        choices=("seed", "new", "probe"),
    )
    head_temperature: float = option(
        1.0,
        "What the head divides its logits by, in training and in use. Below 1 it sharpens a "
        "softmax that is flat on a pretrained network's features, where nothing passes a "
        "threshold, and its gradient grows alike; with head_init=probe the first logits are the "
        "same at each.",
        above=0,
        high=1000,
    )
    train: str = option(
        "all",
        f"What of a network with learned weights is trained: {freezing.FORMS}.",
    )
    batch_norm: str = option(
        "auto",
        "Batch normalisation of a backbone with learned weights. frozen, as is auto: statistics, "
        "scale and offset stay as they are. trained: its statistics start anew.",
        choices=("auto", "frozen", "trained"),
    )
    backbone_rate: float = option(
        0.01,
        "What the learning rate is multiplied by for a backbone with learned weights.",
        above=0,
        high=1000,
    )
    student_init: str = option(
        "seed",
        "What the student starts from. teacher: from the weights of its teacher, as they are when "
        "the student's training begins.",
        choices=("seed", "teacher"),
        needs="teacher_optimizer",
        beside=("predictions", ("",)),
    )
