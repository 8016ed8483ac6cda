"""The options of networks that have a backbone and a head."""

import dataclasses

from mpl_tf.networks import heads
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
    head: str = option("linear", f"What makes logits of a backbone's features: {heads.FORMS}.")
