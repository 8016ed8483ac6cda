"""The SavedModel that leaves the house: uint8 images in, classes out."""

import os
import shutil

import keras
import tensorflow as tf


def export(network, filepath, class_names=None):
    """Writes a network of logits as a SavedModel that needs no code of this package.

    The signature `serving_default` takes `images`, uint8 [N, H, W, C] of any N, and gives

        probabilities  float32 [N, K]   softmax of the logits
        class_ids      int64 [N]        the most probable class
        class_names    string [N]       its name

    The folder appears complete or not at all.

    Args:
      network: built keras.Model of logits that takes images with values 0 to 255.
      filepath: str, the folder to write; for TensorFlow Serving it ends in a version number.
      class_names: sequence of K str; None names the classes "0", "1", ...

    Raises:
      FileExistsError: `filepath` exists.
      ValueError: the number of names is not the number of classes.
    """
    if os.path.exists(filepath):
        raise FileExistsError(f"{filepath} exists; an export does not overwrite.")
    num_classes = network.output_shape[-1]
    names = [str(i) for i in range(num_classes)] if class_names is None else list(class_names)
    if len(names) != num_classes:
        raise ValueError(f"class_names must hold {num_classes} names; received {len(names)}.")

    archive = keras.export.ExportArchive()
    archive.track(network)
    shape = [None, *network.input_shape[1:]]

    def serve(images):
        # TensorFlow's convolutions give a wrong shape for an empty batch: it gets a blank image.
        count = tf.shape(images)[0]
        blank = tf.cast(tf.equal(count, 0), tf.int32)
        padded = tf.pad(images, [[0, blank], *[[0, 0]] * (len(shape) - 1)])
        logits = network(tf.cast(padded, tf.float32), training=False)[:count]
        probs = tf.nn.softmax(tf.cast(logits, tf.float32))
        class_ids = tf.argmax(probs, axis=-1)
        return {
            "probabilities": probs,
            "class_ids": class_ids,
            "class_names": tf.gather(tf.constant(names), class_ids),
        }

    archive.add_endpoint("serving_default", serve, [tf.TensorSpec(shape, tf.uint8, name="images")])
    parent, version = os.path.split(os.path.abspath(filepath))
    os.makedirs(parent, exist_ok=True)
    # Not a sibling with a number for a name: a server that polls the folder would try to load it.
    partial = os.path.join(parent, f".{version}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    archive.write_out(partial, verbose=False)
    os.rename(partial, filepath)
