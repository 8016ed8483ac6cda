"""Encoders: from files and run folders, and untrained ones like them."""

import dataclasses
import os
from collections.abc import Iterable

import keras

from mpl_tf import networks
from mpl_tf.networks import classifier_head, parts, remade
from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.networks.layers import all_layers
from mpl_tf.options import ConfigError
from mpl_tf.runs import folder, restore


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A network that makes features.

    Attributes:
      name: as it was asked for; "random" where it is untrained.
      backbone: images [N, H, W, C] with values 0 to 255 -> features [N, F].
    """

    name: str
    backbone: keras.Model


def find(name: str, which: str, num_classes: int, shape: tuple[int, ...]) -> Encoder:
    """The encoder of a file or a run: its network without what makes logits.

    Args:
      name: a file of Keras, as `--network=file:MODEL` takes it, or a run folder.
      which: network of a run; see `restore.restore`.
      num_classes: of the dataset.
      shape: (height, width, channels) of its images.

    Raises:
      ConfigError: there is no such network, or it takes other images.
    """
    if not os.path.isdir(name):
        build = networks.find(f"file:{name}")
        return Encoder(name, parts.backbone(build(num_classes, shape, keep_head=False)))
    if not folder.is_run(name):
        raise ConfigError(f"--networks: {name} is a folder, and no run lies in it.")
    _, network = restore.restore(restore.find(name), which)
    taken = tuple(network.input_shape[1:])
    if taken != tuple(shape):
        raise ConfigError(
            f"--networks: the network of {name} takes images of shape {taken}; those of the "
            f"dataset have {tuple(shape)}."
        )
    if parts.has_parts(network):
        return Encoder(name, parts.backbone(network))
    features = classifier_head.cut(network, name).features
    return Encoder(name, remade.backbone(features, shape, layer_seeds(0), False, name))


def untrained(encoders: Iterable[Encoder], seed: int) -> list[Encoder]:
    """An encoder like each, with the weights that its layers start from; of equal ones, one.

    Equal are those whose layers with weights are.

    What scales images (`keras.layers.Normalization`) is kept: it is no result of training.

    Args:
      encoders: any.
      seed: of the weights.
    """
    forms: dict[tuple, Encoder] = {}
    for encoder in encoders:
        form = tuple(_form(layer) for layer in all_layers(encoder.backbone) if layer.weights)
        forms.setdefault(form, encoder)
    return [
        Encoder("random" if len(forms) == 1 else f"random, as {one.name}", _drawn(one, seed))
        for one in forms.values()
    ]


def _form(layer: keras.Layer) -> tuple:
    return type(layer), *(tuple(weight.shape) for weight in layer.weights)


def _drawn(encoder: Encoder, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)  # initializers without a seed of their own
    drawn = keras.models.clone_model(encoder.backbone, recursive=True)
    for new, old in zip(all_layers(drawn), all_layers(encoder.backbone), strict=True):
        if isinstance(new, keras.layers.Normalization):
            new.set_weights(old.get_weights())
            new.finalize_state()
    return drawn
