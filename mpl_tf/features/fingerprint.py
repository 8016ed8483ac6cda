"""What cached features depend on, as digests that are equal where the features are."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from mpl_tf.augment import policies
from mpl_tf.data.dataset import Images
from mpl_tf.features import views
from mpl_tf.features.views import ViewSet
from mpl_tf.options import ConfigError

FORMAT = 1  # of the files, and of what is computed: another one makes other caches
# Of a layer's configuration, what its outputs without training do not depend on.
_NO_MATTER = {"name", "trainable", "seed", "synchronized", "build_config", "compile_config"}
_NO_MATTER |= {"shared_object_id", "module", "registered_name"}
_NO_MATTER_ENDINGS = ("_initializer", "_regularizer", "_constraint", "_seed_generator")


def of_backbone(backbone: keras.Model) -> str:
    """SHA-256, hexadecimal, of a network's layers and weights.

    Names of layers, seeds and initial values do not count: two networks that give the same features
    have one digest.
    """
    config = backbone.get_config()
    names = {name: f"#{number}" for number, name in enumerate(dict.fromkeys(_names(config)))}
    text = json.dumps(_stripped(config, names), sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode())
    for weight in backbone.weights:
        value = keras.ops.convert_to_numpy(weight)
        digest.update(str((str(value.dtype), value.shape)).encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _names(config: Any) -> Iterator[str]:
    """The names of all layers in a configuration, in its order."""
    if isinstance(config, dict):
        if isinstance(config.get("name"), str):
            yield config["name"]
        config = list(config.values())
    if isinstance(config, list | tuple):
        for value in config:
            yield from _names(value)


def _stripped(config: Any, names: dict[str, str]) -> Any:
    """A configuration without what does not matter, layers called by their numbers."""
    if isinstance(config, dict):
        return {
            key: _stripped(value, names)
            for key, value in config.items()
            if key not in _NO_MATTER and not str(key).endswith(_NO_MATTER_ENDINGS)
        }
    if isinstance(config, list | tuple):
        return [_stripped(value, names) for value in config]
    return names.get(config, config) if isinstance(config, str) else config


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
        config = json.dumps(_stripped(policy.get_config(), {}), default=str)
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
