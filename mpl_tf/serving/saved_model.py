"""Exports: SavedModels in the folders of TensorFlow Serving, written and found."""

import json
import math
import numbers
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NotRequired, TypedDict

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from mpl_tf.files import digests, read_json, sync_tree, write_json
from mpl_tf.options import ConfigError
from mpl_tf.paths import local_path
from mpl_tf.serving import signatures

# Assets: the names of the classes, a list; the training configuration; what was exported, and how.
CLASS_NAMES, CONFIG, ABOUT = "class_names.json", "config.json", "about.json"

# SHA-256 of every file that answers are computed from.
DIGESTS = "assets.extra/digests.json"


class About(TypedDict):
    """The content of `about.json`, beside what else it may hold."""

    image_shape: tuple[int, int, int]
    calibration_temperature: NotRequired[float]


_FORMS = {CLASS_NAMES: list[str], CONFIG: dict[str, Any], ABOUT: About}

# How the names of exports begin while they are written.
_PARTIAL = ".partial-"


def export(
    network: keras.Model,
    directory: str | os.PathLike[str],
    class_names: Iterable[str | int] | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
    bfloat16: bool = False,
    temperature: float = 1.0,
) -> str:
    """Writes a network of logits as `directory`/<version>, the layout of TensorFlow Serving.

    The version is one more than the greatest in the folder. It appears complete or not at all: a
    server that watches the folder never sees a part of it. It needs no code of this package. In it
    are the signatures `serving_default`, `serving_bytes` and `classify` of `signatures.classifier`,
    the last with TensorFlow Serving's method name for Classify; the assets `class_names.json`,
    `config.json` and `about.json`; and requests by which TensorFlow Serving warms up.

    Args:
      network: built, of logits; takes images with values 0 to 255.
      directory: the folder of the versions; made if it is not there.
      class_names: K texts or whole numbers; None names the classes "0", "1", ...
      config: what the network was trained with, for `config.json`; JSON can hold it.
      about: further entries of `about.json`, which has the images' shape, the weights' type and the
        temperature.
      bfloat16: whether weights are stored with 16 bits: half the size, and answers that
        differ in the third digit.
      temperature: greater than 0, what logits are divided by before the softmax, so that the export
        is as sure as it is right, of `formulas.calibration.fit_temperature`; 1 changes nothing.

    Returns:
      The folder of the version.

    Raises:
      ConfigError: the class names cannot be exported, see `as_texts` and `check_class_names`; the
        temperature is no number greater than 0; or a weight is NaN or infinite.
      OSError: the folder cannot be written.
    """
    directory = local_path("the folder of an export", directory)
    num_classes = network.output_shape[-1]
    names = as_texts(range(num_classes) if class_names is None else class_names)
    check_class_names(names, num_classes)
    temperature = check_temperature(temperature)
    _check_finite(network)
    shape = list(network.input_shape[1:])
    about = {
        "image_shape": shape,
        "weights": "bfloat16" if bfloat16 else "float32",
        "calibration_temperature": temperature,
        **(about or {}),
    }
    module = signatures.classifier(network, names, bfloat16=bfloat16, temperature=temperature)
    os.makedirs(directory, exist_ok=True)
    # Hidden, and no number, which a server would try to load. Not `files.whole`, which replaces
    # what is at its path: versions are never replaced, and others may export here at once.
    partial = tempfile.mkdtemp(prefix=_PARTIAL, dir=directory)
    try:
        _save(module, partial, {CLASS_NAMES: names, CONFIG: config or {}, ABOUT: about})
        _write_warm_up(module, partial, shape)
        _write_digests(partial)
        os.chmod(partial, os.stat(directory).st_mode)  # mkdtemp's is for its owner alone
        sync_tree(partial)
        return _claim(partial, directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def as_texts(class_names: Iterable[Any]) -> list[str]:
    """Names of classes as Python's own texts; NumPy has others, and numbers name classes too.

    Raises:
      ConfigError: they are something else.
    """
    if isinstance(class_names, str | bytes | Mapping | Set):
        raise ConfigError(
            "class_names must be a list, one a class in the order of the class ids; received "
            f"{class_names!r}."
        )
    names = list(class_names)
    for name in names:
        if isinstance(name, bool) or not isinstance(name, str | numbers.Integral):
            raise ConfigError(f"class_names must be texts or whole numbers; received {name!r}.")
    return [str(name) for name in names]


def check_class_names(names: Sequence[str], num_classes: int) -> None:
    """Checks what an export will call its classes.

    Raises:
      ConfigError: there are more or fewer names than classes, two are the same, or one cannot be
        written as UTF-8, which an export's answers are.
    """
    if len(names) != num_classes or len(set(names)) != num_classes:
        raise ConfigError(
            f"class_names must hold {num_classes} different names; received {len(names)}, "
            f"{len(set(names))} of them different."
        )
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"class_names must be UTF-8; received {name!a}.") from error


def check_temperature(temperature: Any) -> float:
    """What an export divides logits by, as Python's own number.

    Raises:
      ConfigError: it is no finite number greater than 0.
    """
    if isinstance(temperature, numbers.Real) and not isinstance(temperature, bool):
        value = float(temperature)
        if 0 < value < math.inf:
            return value
    raise ConfigError(
        f"temperature must be a finite number greater than 0; received {temperature!r}. 1 leaves "
        "probabilities as the network gives them."
    )


def _check_finite(network: keras.Model) -> None:
    """Raises ConfigError if a weight is no number: the answers would be none either."""
    if path := non_finite_weight(network):
        raise ConfigError(
            f"weight {path} holds NaN or infinite values: training has diverged, and nothing was "
            "exported. A lower learning rate or clip_norm=5 may help."
        )


def non_finite_weight(network: keras.Model) -> str:
    """The path of a weight that has NaN or infinite values; "" if none has."""
    for weight in network.weights:
        if not np.isfinite(np.asarray(keras.ops.convert_to_numpy(weight), np.float64)).all():
            return weight.path
    return ""


def _save(module: tf.Module, path: str, assets: Mapping[str, Any]) -> None:
    names = [n for n in ("serving_default", "serving_bytes", "classify") if hasattr(module, n)]
    with tempfile.TemporaryDirectory() as folder:
        module.assets = []
        for name, value in assets.items():
            file = os.path.join(folder, name)
            with open(file, "w", encoding="utf-8") as opened:
                json.dump(value, opened, indent=2, ensure_ascii=False)
            module.assets.append(tf.saved_model.Asset(file))
        tf.saved_model.save(module, path, {name: getattr(module, name) for name in names})
    if "classify" in names:
        updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(path)
        method = tf.compat.v1.saved_model.signature_constants.CLASSIFY_METHOD_NAME
        updater.replace_method_name("classify", method, tags="serve")
        updater.save()


def _write_warm_up(module: tf.Module, path: str, shape: Sequence[int]) -> None:
    """One request for each signature: a grey image, twice as large where it will be resized."""
    requests = []
    predict = prediction_log_pb2.PredictionLog()
    spec = predict.predict_log.request.model_spec
    spec.signature_name = "serving_default"
    pixels = tf.make_tensor_proto(np.full([1, *shape], 128, np.uint8))
    predict.predict_log.request.inputs["images"].CopyFrom(pixels)
    requests.append(predict)
    if hasattr(module, "serving_bytes"):
        large = np.full([2 * shape[0], 2 * shape[1], shape[2]], 128, np.uint8)
        file = tf.io.encode_jpeg(large).numpy()
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.model_spec.signature_name = "serving_bytes"
        log.predict_log.request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([file]))
        requests.append(log)
        log = prediction_log_pb2.PredictionLog()
        log.classify_log.request.model_spec.signature_name = "classify"
        example = log.classify_log.request.input.example_list.examples.add()
        example.features.feature["image/encoded"].bytes_list.value.append(file)
        requests.append(log)
    extra = os.path.join(path, "assets.extra")
    os.mkdir(extra)
    with tf.io.TFRecordWriter(os.path.join(extra, "tf_serving_warmup_requests")) as writer:
        for request in requests:
            writer.write(request.SerializeToString())


def _write_digests(path: str) -> None:
    """Of what answers depend on: warm-up requests and TensorFlow's fingerprint may be removed."""
    folders = ("assets", "variables")
    names = [f"{folder}/{name}" for folder in folders for name in os.listdir(f"{path}/{folder}")]
    write_json(os.path.join(path, DIGESTS), digests(path, ["saved_model.pb", *sorted(names)]))


def _claim(partial: str, directory: str) -> str:
    """Renames a finished export to the next free version, though others may export there, too."""
    while True:
        target = os.path.join(directory, str(max(versions(directory), default=0) + 1))
        try:
            os.rename(partial, target)
        except OSError:
            if not os.path.exists(target):
                raise
        else:
            return target


def remove_unfinished(directory: str) -> None:
    """Removes what exports that were killed have left in a folder; no other may be under way there.

    Versions are complete, and stay.
    """
    for name in _names_in(directory):
        if name.startswith(_PARTIAL):
            shutil.rmtree(os.path.join(directory, name), ignore_errors=True)


def versions(directory: str) -> list[int]:
    """The versions in a folder, in order; none if it is not there."""
    return sorted(int(name) for name in _names_in(directory) if name.isdecimal())


def _names_in(directory: str) -> list[str]:
    return os.listdir(directory) if os.path.isdir(directory) else []


def find(path: str) -> str:
    """The folder of an export.

    Args:
      path: an export, or a folder of versions, of which the greatest is meant.

    Returns:
      The export's folder.

    Raises:
      ConfigError: neither is there.
    """
    path = local_path("model", path)
    if os.path.isfile(os.path.join(path, "saved_model.pb")):
        return path
    numbers = versions(path)
    newest = os.path.join(path, str(numbers[-1])) if numbers else path
    if not os.path.isfile(os.path.join(newest, "saved_model.pb")):
        raise ConfigError(f"{path} must be an export, or a folder of versions of one; it is not.")
    return newest


def read_asset(path: str, name: str) -> Any:
    """The content of an asset of an export.

    Args:
      path: the export's folder.
      name: CLASS_NAMES, CONFIG or ABOUT, which are checked, or another.

    Returns:
      What JSON makes of it: a list of str, or a dict.

    Raises:
      ConfigError: it is not there, no JSON, or holds something else.
    """
    try:
        return read_json(os.path.join(path, "assets", name), _FORMS.get(name, Any))
    except ConfigError as error:
        raise ConfigError(f"{error} Is {path} an export of mpl_tf?") from error
