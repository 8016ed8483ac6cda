"""Networks in files that Keras has saved, with their weights."""

import os

import keras

from mpl_tf.console import log
from mpl_tf.networks import classifier_head, heads, learned, parts, remade
from mpl_tf.networks.architecture import Architecture
from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.networks.layers import all_layers
from mpl_tf.options import ConfigError

_ENDINGS = (".keras", ".h5")
_SCALING = (keras.layers.Rescaling, keras.layers.Normalization)


def build(
    num_classes: int,
    input_shape: tuple[int, ...],
    seed: int = 0,
    dropout: float = 0.2,
    synchronized: bool = False,
    head: str = "linear",
    head_temperature: float = 1.0,
    keep_head: bool = True,
    *,
    path: str,
) -> keras.Model:
    """A network of two parts whose backbone is a saved model, with its weights.

    The model takes images with values 0 to 255: what it does to them first is part of it. Its
    classification head, if it has one, is cut; the weights of one of as many classes are where a
    linear head starts, on features divided by the square root of their number, unless the model is
    one of these networks, which has done so. Without such a head features have unit length. Maps of
    features are averaged over the places.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images; of 1 channel they are repeated for a
        model of 3.
      seed: of the head's initial weights and the dropout masks.
      dropout: in [0, 1), dropout before the head's last layer.
      synchronized: whether batch statistics are taken over all replicas.
      head: one of `heads.FORMS`.
      head_temperature: greater than 0, what the head divides logits by.
      keep_head: whether a linear head starts from that of the model; if not, it is new.
      path: a file `model.save` has written, .keras or .h5. It is loaded in Keras's safe mode: code
        in it is not run.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K]; see `parts`.

    Raises:
      ConfigError: there is no such file, it holds no model that can be used, or code, or weights
        that are quantized or not finite.
    """
    name = f"network=file:{path}"
    _check_file(path)
    model = _load(path, name)
    if not getattr(model, "outputs", None) or len(model.outputs) != 1:
        raise ConfigError(
            f"{name} must hold a functional or Sequential model of one output; received a "
            f"{type(model).__name__}."
        )
    learned.check(model, name)
    cut = classifier_head.cut(model, name)
    seeds = layer_seeds(seed)
    kernel = cut.kernel
    if kernel is not None and (
        kernel.shape[-1] != num_classes or head != "linear" or not keep_head
    ):
        kernel = None
    factor, last = 1.0, heads.unit_length()
    if kernel is not None and _ends_with_lengths(cut.features):
        last = None
    elif kernel is not None:
        factor, last = len(kernel) ** 0.5, heads.usual_length(len(kernel))
    backbone = remade.backbone(cut.features, input_shape, seeds, synchronized, name, last)
    num_features = backbone.output_shape[-1]
    made = heads.draw(
        num_classes, num_features, seeds, dropout, head, head_temperature, synchronized
    )
    if kernel is not None:
        made.set_weights([factor * kernel, cut.bias])
        log.info(
            f"{name}: its layer {cut.layer!r} of {num_classes} classes is kept for the head to "
            "start from; with head_init=new it starts from random weights, and with "
            "head_init=probe from a logistic regression."
        )
    elif cut.layer:
        log.info(f"{name}: its last layer {cut.layer!r} is cut.")
    if not any(isinstance(layer, _SCALING) for layer in all_layers(cut.features)):
        log.warning(
            f"{name} has no layer that scales images (Rescaling, Normalization), and is given "
            "values 0 to 255. If it was trained on others, save it with such a layer after its "
            "input."
        )
    return parts.join(backbone, made, name="file")


def _ends_with_lengths(features: keras.Model) -> bool:
    """Whether the last layer of a network sets the length of its features, as in `heads`."""
    last = classifier_head.last_layer(features)
    return isinstance(last, (keras.layers.UnitNormalization, keras.layers.Rescaling))


def _check_file(path: str) -> None:
    if not path.lower().endswith(_ENDINGS):
        raise ConfigError(
            f"network=file:MODEL must name a file of Keras, ending in {' or '.join(_ENDINGS)}; "
            f"received {path!r}."
        )
    if not os.path.isfile(path):
        raise ConfigError(f"network=file:{path} is no file.")
    if path.lower().endswith(".weights.h5"):
        raise ConfigError(
            f"network=file:{path} holds weights alone. Save the model, model.save('model.keras'); "
            "weights of a network of keras.applications are for --network=keras:NAME "
            "--network_weights=FILE."
        )


def _load(path: str, name: str) -> keras.Model:
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # h5py, zipfile, Keras and layers have no common error
        reason = remade.first_line(error)
        if "ambda" in reason and ("safe_mode" in reason or "unsafe" in reason):
            raise ConfigError(
                f"{name} holds code (a Lambda layer), which would run here, and is not loaded. "
                "Save the model with layers of Keras in place of the Lambda."
            ) from error
        raise ConfigError(f"{name} cannot be loaded: {reason}") from error
    if not isinstance(model, keras.Model):
        raise ConfigError(f"{name} must hold a keras.Model; received a {type(model).__name__}.")
    return model


def _parse(path: str) -> dict[str, str]:
    path = os.path.expanduser(path)
    _check_file(path)
    return {"path": path}


ARCHITECTURE = Architecture(
    build,
    r"(?i:file):(?P<path>.*)",
    ("file:MODEL.keras",),
    "a model that Keras has saved, with its weights; its classification head is cut",
    _parse,
    two_parts=True,
    pretrained=True,
    brings_head=True,
)
