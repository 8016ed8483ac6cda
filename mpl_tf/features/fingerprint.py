"""What cached features depend on, as digests that are equal where the features are."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Any

import keras
import numpy as np

from mpl_tf.augment import policies
from mpl_tf.data.dataset import Images
from mpl_tf.features import views
from mpl_tf.features.views import ViewSet
from mpl_tf.networks.layers import all_layers, draws
from mpl_tf.options import ConfigError

FORMAT = 2  # of the files, and of what is computed: another one makes other caches
# Of a layer's configuration, what its outputs without training do not depend on.
_NO_MATTER = {"name", "trainable", "synchronized", "build_config", "compile_config"}
_NO_MATTER |= {"shared_object_id"}
_NO_MATTER_ENDINGS = ("_initializer", "_regularizer", "_constraint", "_seed_generator")
# Where a model's configuration calls layers by their names.
_REFERENCES = {"keras_history", "input_layers", "output_layers"}


def of_backbone(backbone: keras.Model) -> str:
    """SHA-256, hexadecimal, of a network's layers and weights.

    Names of layers, initial values, which layers are frozen, and the rate and seed of dropout do
    not count: two networks that give the same features have one digest.
    """
    drawing = {(type(layer).__name__, layer.name) for layer in all_layers(backbone) if draws(layer)}
    text = json.dumps(_stripped(backbone.get_config(), drawing), sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode())
    for weight in backbone.weights:
        value = keras.ops.convert_to_numpy(weight)
        digest.update(str((str(value.dtype), value.shape)).encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _stripped(
    config: Any,
    drawing: Set[tuple[str, str]] = frozenset(),
    numbers: Mapping[str, int] = MappingProxyType({}),
) -> Any:
    """A configuration without what does not matter, layers called by their numbers.

    Args:
      config: of a layer or a model, or something in it.
      drawing: class and name of the layers that draw at random in training.
      numbers: name -> number, of the layers of the model it is of.
    """
    if isinstance(config, list | tuple):
        return [_stripped(value, drawing, numbers) for value in config]
    if not isinstance(config, dict):
        return config
    if str(config.get("class_name")).endswith("DTypePolicy"):
        return config  # whose name matters
    if isinstance(config.get("config"), dict):
        config = config | {"config": _of_inference(config, drawing)}
    if "layers" in config and "input_layers" in config:
        numbers = {layer["name"]: number for number, layer in enumerate(config["layers"])}
    return {
        key: _numbered(value, numbers) if key in _REFERENCES else _stripped(value, drawing, numbers)
        for key, value in config.items()
        if key not in _NO_MATTER and not str(key).endswith(_NO_MATTER_ENDINGS)
    }


def _of_inference(layer: dict[str, Any], drawing: Set[tuple[str, str]]) -> dict[str, Any]:
    """The configuration of a layer without what matters in training alone, by its class."""
    name, config = layer["class_name"], layer["config"]
    left_out = set()
    if {"rate", "seed"} <= config.keys() or (name, config.get("name")) in drawing:
        left_out |= {"rate", "seed"}  # freezing sets the rate to 0
    if str(layer.get("module")).startswith("keras"):
        left_out |= {"seed"}
    if name == "BatchNormalization":
        left_out |= {"momentum"}
    return {key: value for key, value in config.items() if key not in left_out}


def _numbered(references: Any, numbers: Mapping[str, int]) -> Any:
    """References to layers by their numbers in place of their names."""
    if isinstance(references, list | tuple):
        return [_numbered(value, numbers) for value in references]
    if isinstance(references, dict):
        return {key: _numbered(value, numbers) for key, value in references.items()}
    return numbers.get(references, references) if isinstance(references, str) else references


def of_images(images: Images) -> str:
    """SHA-256, hexadecimal, of images in their order."""
    digests = images.store.digests(images.positions)
    return hashlib.sha256(np.ascontiguousarray(digests, "<u8").tobytes()).hexdigest()


def of_policy(policy: object) -> str:
    """A policy with all that its views depend on, equal for equal views.

    Raises:
      ConfigError: it is a function, whose text says nothing of what it does.
    """
    if policy is policies.unchanged:
        return "unchanged"
    if isinstance(policy, keras.Layer):
        config = json.dumps(_stripped(policy.get_config() | {"seed": None}), default=str)
        return f"{type(policy).__name__}({config})"
    if dataclasses.is_dataclass(policy):
        values = {f.name: getattr(policy, f.name) for f in dataclasses.fields(policy)}
        written = ", ".join(f"{name}={of_policy(value)}" for name, value in values.items())
        return f"{type(policy).__name__}({written})"
    if callable(policy):
        raise ConfigError(
            "a view whose features are cached must be a policy of mpl_tf.augment, a dataclass or "
            f"a Keras layer, which say what they do; received {policy!r}."
        )
    return repr(policy)


def describe(
    backbone_digest: str, images: Images, images_digest: str, view_set: ViewSet, dtype: str
) -> dict[str, Any]:
    """All that the features of a cache depend on, by name; JSON can hold it.

    Args:
      backbone_digest: by `of_backbone`.
      images: the images.
      images_digest: by `of_images`.
      view_set: their views.
      dtype: of the cached features.
    """
    return {
        "format": FORMAT,
        "backbone": backbone_digest,
        "images": images_digest,
        "number_of_images": len(images),
        "image_shape": list(images.shape),
        "view": view_set.name,
        "policy": of_policy(view_set.policy),
        "views_of_each_image": view_set.count,
        "view_seed": view_set.seed,
        "images_drawn_together": views.CHUNK,
        "dtype": dtype,
    }


def key(description: dict[str, Any]) -> str:
    """A name for a cache, of 24 hexadecimal digits: another one if anything is different."""
    text = json.dumps(description, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
