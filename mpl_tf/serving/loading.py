"""An export that is loaded: whole, of this library, and with as many names as classes."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mpl_tf import files, paths
from mpl_tf.options import ConfigError
from mpl_tf.serving import saved_model


@dataclasses.dataclass(frozen=True)
class Export:
    """An export in memory.

    Attributes:
      path: its folder.
      class_names: K names.
      image_shape: (height, width, channels).
      calibration_temperature: what logits are divided by; 1 of an export that does not say it.
      module: the functions of `signatures.classifier`, and its variables, which live as long.
    """

    path: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    calibration_temperature: float
    module: Any

    @property
    def signatures(self) -> Mapping[str, Any]:
        """Name -> function of tensors by name, which returns a dict of tensors."""
        return self.module.signatures

    def digest(self) -> str:
        """SHA-256, hexadecimal, of weights, temperature and names of the classes.

        Equal for exports that give the same answers: when and where they were written counts not.
        """
        about = [self.class_names, self.image_shape, self.calibration_temperature]
        digest = hashlib.sha256(json.dumps(about).encode())
        for weight in self.module.weights:
            digest.update(f"{weight.dtype.name} {weight.shape}".encode())
            digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
        return digest.hexdigest()


def load(path: str) -> Export:
    """Loads an export and checks it.

    Args:
      path: an export, or a folder of versions, of which the greatest is meant.

    Raises:
      ConfigError: there is none, a file of it is missing or damaged, or it is of another program.
    """
    path = saved_model.find(path)
    _check_files(path)
    class_names = saved_model.read_asset(path, saved_model.CLASS_NAMES)
    about = saved_model.read_asset(path, saved_model.ABOUT)
    height, width, channels = about["image_shape"]
    try:
        temperature = saved_model.check_temperature(about.get("calibration_temperature", 1.0))
    except ConfigError as error:
        file = os.path.join(path, "assets", saved_model.ABOUT)
        raise ConfigError(f"{file} is damaged: {error} Export it again.") from error
    try:
        with paths.literal(path) as folder:
            module = tf.saved_model.load(folder)
    except Exception as error:  # TensorFlow raises whatever its reader stumbles over
        raise ConfigError(
            f"{path} cannot be loaded ({files.reason(error)}): a file of it is missing or "
            "damaged, or another TensorFlow wrote it. Copy it again, or export it again."
        ) from error
    export = Export(path, tuple(class_names), (height, width, channels), temperature, module)
    _check_answers(export)
    return export


def _check_files(path: str) -> None:
    """Refuses files that were changed since they were written, and pipes, which never end."""
    names = [
        os.path.relpath(os.path.join(folder, name), path).replace(os.sep, "/")
        for folder, _, in_folder in os.walk(path)
        for name in in_folder
    ]
    fault = next((f"{n} is {what}" for n in names if (what := _irregular(path, n))), "")
    if saved_model.DIGESTS in names:  # exports of other programs have none
        written = files.read_json(os.path.join(path, saved_model.DIGESTS), dict[str, str])
        fault = fault or files.damage(path, written)
    if fault:
        raise ConfigError(
            f"{path} is not as it was exported: {fault}. Copy it again, or export it again."
        )


def _irregular(path: str, name: str) -> str:
    what = files.what_is(os.path.join(path, name))
    return "" if what == "a file" else what


def _check_answers(export: Export) -> None:
    """Refuses SavedModels of other programs, and names that are too few or too many."""
    path, count = export.path, len(export.class_names)
    for name in ("serving_default", "serving_bytes"):
        function = export.signatures.get(name)
        if function is None and name == "serving_bytes":
            continue  # images that no file has
        outputs = {} if function is None else function.structured_outputs
        if "probabilities" not in outputs:
            raise ConfigError(
                f"{path} is no export of mpl_tf: its signature {name} gives "
                f"{', '.join(sorted(outputs)) or 'nothing'}, and no probabilities."
            )
        num_classes = outputs["probabilities"].shape[-1]
        if num_classes != count or len(set(export.class_names)) != count:
            raise ConfigError(
                f"{os.path.join(path, 'assets', saved_model.CLASS_NAMES)} must hold {num_classes} "
                f"different names, one a class; received {count}. Export it again."
            )
    inputs = export.signatures["serving_default"].structured_input_signature[1]
    shape = tuple(inputs["images"].shape[1:]) if "images" in inputs else ()
    if shape != export.image_shape:
        raise ConfigError(
            f"{path} takes images of {shape}, and its {saved_model.ABOUT} says "
            f"{export.image_shape}: it is damaged, or no export of mpl_tf. Export it again."
        )
