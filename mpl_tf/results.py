"""The end of a run: test, export, picture, summary."""

import shutil

from mpl_tf import console, evaluation, report, saved_model, workdir
from mpl_tf.data import pipeline


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
            name: evaluation.probabilities(network, pipeline.evaluation_batches(images))
            for name, network in method.networks.items()
        }
        accuracy = {
            name: evaluation.accuracy(probs[name], images.labels) if name in probs else None
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
    report.draw(
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
        "weights_digest": evaluation.weights_digest(method.networks),
        "versions": workdir.versions(),
        "git_revision": workdir.git_revision(),
    }


def announce(experiment):
    """Says what is about to run."""
    run, split, method = experiment.config.run, experiment.split, experiment.method
    parts = {name: getattr(split, name) for name in ("labeled", "unlabeled", "validation", "test")}
    sizes = ", ".join(f"{len(part)} {name}" for name, part in parts.items() if part is not None)
    height, width, channels = split.labeled.shape
    console.say(
        f"{type(method).__name__} on {run.dataset}: {sizes} images of {height}x{width}x{channels}, "
        f"{len(split.class_names)} classes"
    )
    console.say(
        f"Network {run.network}, {method.student.count_params():,} parameters; "
        f"{run.steps} steps, then {run.finetune_steps} of finetuning"
    )
    if method.unlabeled_views and (split.unlabeled.labels >= 0).any():
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
