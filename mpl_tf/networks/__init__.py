"""Networks, by the name that `--network` takes.

A builder is `build(num_classes, input_shape, seed) -> keras.Model`. The model takes images with
values 0 to 255, uint8 or floating, and gives logits; it scales its input itself, so that training
and serving cannot differ.
"""

from mpl_tf.networks import mlp, small

NETWORKS = {
    "mlp": mlp.build,
    "small": small.build,
}
