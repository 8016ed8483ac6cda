"""A network of logits as functions from images, files and tf.Examples to classes."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from mpl_tf.images import decode, example
from mpl_tf.networks.layers import all_layers


def classifier(
    network: keras.Model,
    class_names: Sequence[str],
    *,
    bfloat16: bool = False,
    temperature: float = 1.0,
) -> tf.Module:
    """What an export holds: weights, and functions of them that need no code of this package.

        logits(images)                network(images), float32 [N, H, W, C] -> [N, K]
        probabilities(images)         softmax(network(images) / temperature), likewise
        serving_default(images)       uint8 [N, H, W, C] -> answers
        serving_bytes(image_bytes)    string [N], JPEG, PNG, BMP, GIF or WebP files -> answers
        classify(inputs)              string [N], tf.train.Examples with such a file in the feature
                                      `image` or `image/encoded` -> classes and scores

    Answers are a dict of `probabilities` float32 [N, K], `class_ids` int64 [N], the class of the
    greatest logit, which no temperature changes, and `labels` string [N], its name. Classes and
    scores, string and float32 [N, K], are all names and their probabilities in the order of the
    classes. N may be 0, but for `logits` and `probabilities`, which have no protection against what
    convolutions make of an empty batch.

    Everything is computed in float32, which every runtime can, whatever the network was trained in.
    Files are decoded by `images.decode.decode`, as the images that networks are trained on. One
    that is no image, or has more than `images.header.MAX_PIXELS`, makes the batch fail with
    InvalidArgumentError.

    Args:
      network: built, of logits; takes images with values 0 to 255.
      class_names: K names.
      bfloat16: whether weights are stored with 16 bits.
      temperature: greater than 0, what logits are divided by; see `formulas.calibration`.

    Returns:
      Module with these functions. `serving_bytes` and `classify` are not there if the network
      takes images of other than 1 or 3 channels.
    """
    network = _in_float32(network)
    module = tf.Module(name="classifier")
    stored = _copies(network, bfloat16)
    module.weights = [w for part in stored for w in part if isinstance(w, tf.Variable)]
    shape = list(network.input_shape[1:])
    names = tf.constant(list(class_names))

    def logits(images: tf.Tensor) -> tf.Tensor:
        parts = (network.trainable_variables, network.non_trainable_variables)
        variables = [
            [tf.cast(w, v.dtype) for w, v in zip(*pair, strict=True)]
            for pair in zip(stored, parts, strict=True)
        ]
        logits, _ = network.stateless_call(*variables, images, training=False)
        return tf.cast(logits, tf.float32)

    def probabilities(logits: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(logits / temperature)

    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        # TensorFlow's convolutions give a wrong shape for an empty batch: it gets a blank image.
        count = tf.shape(images)[0]
        blank = tf.cast(tf.equal(count, 0), tf.int32)
        padded = tf.pad(images, [[0, blank], *[[0, 0]] * len(shape)])
        logits = module.logits(tf.cast(padded, tf.float32))[:count]
        class_ids = tf.argmax(logits, axis=-1)
        return {
            "probabilities": probabilities(logits),
            "class_ids": class_ids,
            "labels": tf.gather(names, class_ids),
        }

    def answer_files(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return module.serving_default(images=_reader(tuple(shape))(image_bytes))

    def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        probs = answer_files(example.image(inputs))["probabilities"]
        return {"classes": tf.broadcast_to(names, tf.shape(probs)), "scores": probs}

    def function(
        work: Callable[..., Any], name: str, shape: Sequence[int], dtype: tf.DType
    ) -> Callable[..., Any]:
        spec = tf.TensorSpec([None, *shape], dtype, name=name)
        return tf.function(work, input_signature=[spec], autograph=False)

    module.logits = function(logits, "images", shape, tf.float32)
    module.probabilities = function(
        lambda images: probabilities(module.logits(images)), "images", shape, tf.float32
    )
    module.serving_default = function(answer, "images", shape, tf.uint8)
    if shape[-1] in (1, 3):
        module.serving_bytes = function(answer_files, "image_bytes", [], tf.string)
        module.classify = function(classify, "inputs", [], tf.string)
    return module


def pixels(encoded: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    """Decoded images, one after the other.

    Args:
      encoded: string [N], image files.
      shape: (height, width, channels) of the result.

    Returns:
      uint8 [N, *shape].

    Raises:
      tf.errors.InvalidArgumentError: one is no image, or damaged (when the graph runs).
    """

    def load(numbered: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        number, file = numbered
        file = decode.checked(file, ["image", number, "of the batch"])
        return decode.decode(file, shape[:2], shape[2])

    numbers = tf.range(tf.shape(encoded)[0])
    spec = tf.TensorSpec(shape, tf.uint8)
    return tf.map_fn(load, (numbers, encoded), fn_output_signature=spec)


@functools.cache
def _reader(shape: tuple[int, ...]) -> Callable[[tf.Tensor], tf.Tensor]:
    """`pixels` of a shape, traced once for all signatures and exports of a process."""
    spec = tf.TensorSpec([None], tf.string)
    return tf.function(
        lambda encoded: pixels(encoded, shape), input_signature=[spec], autograph=False
    )


def _in_float32(network: keras.Model) -> keras.Model:
    """The network, or a copy of it if some of it computes in 16 bits."""
    if not any(layer.compute_dtype in ("bfloat16", "float16") for layer in all_layers(network)):
        return network

    def remake(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config(layer.get_config() | {"dtype": "float32"})

    twin = keras.models.clone_model(network, clone_function=remake, recursive=True)
    twin.set_weights(network.get_weights())
    return twin


def _copies(network: keras.Model, bfloat16: bool) -> list[list[tf.Variable | tf.Tensor]]:
    """Trainable and other variables of a network, as two lists of what an export stores.

    These are copies, because neither Keras's objects nor a strategy's variables should be saved.
    """
    weights = {id(variable) for variable in network.weights}

    def store(variable: keras.Variable) -> tf.Variable | tf.Tensor:
        value = tf.constant(keras.ops.convert_to_numpy(variable))
        if id(variable) not in weights:  # the state of a random generator, of no use here
            return value
        narrow = bfloat16 and value.dtype.is_floating
        return tf.Variable(tf.cast(value, tf.bfloat16) if narrow else value, trainable=False)

    parts = (network.trainable_variables, network.non_trainable_variables)
    return [[store(variable) for variable in part] for part in parts]
