"""The end of a run: test, export, picture, summary."""

import hashlib
import shutil

import numpy as np
import tensorflow as tf

from mpl_tf import console
from mpl_tf.data import pipeline
from mpl_tf.formulas import measures
from mpl_tf.runs import pictures
from mpl_tf.runs.provenance import git_revision, versions
from mpl_tf.serving import saved_model


def finish(experiment):
    """Tests every network, exports the delivered one, draws the report.

    Returns:
      dict, what results.json says apart from the time it took.
    """
    method, run, split = experiment.method, experiment.config.run, experiment.split
    part = "test" if split.test else "validation"
    images = split.test or split.validation
    console.say("Testing, exporting and drawing ...")
    probs, accuracy = {}, {}
    if images:
        probs = {
            name: probabilities(network, pipeline.evaluation_batches(images))
            for name, network in method.networks.items()
        }
        accuracy = {
            name: measures.accuracy(probs[name], images.labels) if name in probs else None
            for name in ("teacher", "student", "ema", "finetuned")
        }
    which = method.delivered
    shutil.rmtree(experiment.file("export"), ignore_errors=True)  # if it was interrupted here
    saved_model.export(
        method.network(),
        experiment.file("export"),
        split.class_names,
        config=experiment.config.flat(),
        about={"network": which},
    )
    feedback = getattr(experiment.config.method, "feedback", None)
    pictures.draw(
        experiment.file("report.png"),
        title=f"{run.method} on {run.dataset}, {len(split.labeled)} labels, seed {run.seed}"
        + (f", feedback: {feedback}" if feedback else ""),
        workdir=experiment.path,
        part=part,
        accuracy=accuracy,
        probs=probs.get("finetuned", probs.get("ema")),
        images=images,
        labeled=split.labeled,
        class_names=split.class_names,
    )
    return {
        "dataset": run.dataset,
        "method": run.method,
        "feedback": feedback,
        "seed": run.seed,
        "steps": run.steps,
        "num_labeled": len(split.labeled),
        f"{part}_accuracy": accuracy or None,
        "weights_digest": weights_digest(method.networks),
        "versions": versions(),
        "git_revision": git_revision(),
    }


def announce(experiment):
    """Says what is about to run."""
    run, split, method = experiment.config.run, experiment.split, experiment.method
    parts = {name: getattr(split, name) for name in ("labeled", "unlabeled", "validation", "test")}
    sizes = ", ".join(f"{part.size} {name}" for name, part in parts.items() if part is not None)
    height, width, channels = split.labeled.shape
    console.say(
        f"{type(method).__name__} on {run.dataset}: {sizes} images of {height}x{width}x{channels}, "
        f"{len(split.class_names)} classes"
    )
    console.say(
        f"Network {run.network}, {method.student.count_params():,} parameters; "
        f"{run.steps} steps, then {run.finetune_steps} of finetuning"
    )
    if method.unlabeled_views and split.unlabeled.has_hidden_labels:
        console.say("Hidden labels of unlabeled images: for pseudo_label_accuracy in the log alone")
    console.say(f"Run folder: {experiment.path}")


def summarize(results, path):
    """Says how a run ended and where its files lie."""
    part = "test" if "test_accuracy" in results else "validation"
    accuracy = results[f"{part}_accuracy"] or {}
    rows = [(k, f"{v:.4f}") for k, v in accuracy.items() if v is not None]
    files = [
        ("report.png", "curves, confusion matrix, worst mistakes"),
        ("views.png", "what the networks see: weak and strong views"),
        ("metrics.csv", "every logged number by step; tensorboard/ has the same"),
        ("results.json", "these results, package versions, a digest of the weights"),
        ("run.flags", "this run again: --flagfile=run.flags"),
        ("export/1", "SavedModel for TensorFlow Serving: images in, classes out"),
    ]
    if rows:
        rows[-1] = (rows[-1][0], rows[-1][1] + "  (exported)")
        console.say(f"\n{part.capitalize()} accuracy\n{console.table(rows)}")
    else:
        console.say("\nNo test or validation images: nothing to measure accuracy on")
    console.say(f"{results['seconds']:.0f} seconds. In {path}:\n{console.table(files)}")


def probabilities(network, data):
    """Class probabilities of a network of logits.

    Args:
      network: keras.Model, images -> logits [N, K].
      data: tf.data.Dataset of (images, labels) batches.

    Returns:
      float32 numpy array [N, K].
    """
    # Not network.predict, in which all workers of a strategy would have to take part.
    run = tf.function(lambda images: network(images, training=False))
    logits = [tf.cast(run(images), tf.float32) for images, _ in data]
    return tf.nn.softmax(tf.concat(logits, 0)).numpy()


def weights_digest(networks):
    """SHA-256 over all weights of some networks, in a fixed order; equal for equal bits.

    Args:
      networks: dict of name -> keras.Model.

    Returns:
      str, hexadecimal.
    """
    digest = hashlib.sha256()
    for name in sorted(networks):
        digest.update(name.encode())
        for weight in networks[name].get_weights():
            digest.update(str((weight.dtype, weight.shape)).encode())
            digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
