"""The end of a run: test, export, picture, summary."""

import os

from mpl_tf import console, evaluation, report, workdir
from mpl_tf.data import DATASETS


def finish(experiment):
    """Tests every network, exports the delivered one, draws the report.

    Returns:
      dict, what results.json says apart from the time it took.
    """
    method, run, test = experiment.method, experiment.config.run, experiment.split.test
    class_names = DATASETS[run.dataset].class_names
    console.say("Testing, exporting and drawing ...")
    probs = {
        name: evaluation.probabilities(network, test.images)
        for name, network in method.networks.items()
    }
    accuracy = {
        name: evaluation.accuracy(probs[name], test.labels) if name in probs else None
        for name in ("teacher", "student", "ema", "finetuned")
    }
    export = experiment.file("export", "1")
    if not os.path.exists(export):  # a run that was interrupted here has exported the same weights
        method.export(export, class_names)
    feedback = getattr(experiment.config.method, "feedback", None)
    report.draw(
        experiment.file("report.png"),
        title=f"{run.method} on {run.dataset}, {run.num_labeled} labels, seed {run.seed}"
        + (f", feedback: {feedback}" if feedback else ""),
        workdir=experiment.path,
        test_accuracy=accuracy,
        probs=probs.get("finetuned", probs["ema"]),
        test=test,
        labeled=experiment.split.labeled,
        class_names=class_names,
    )
    return {
        "dataset": run.dataset,
        "method": run.method,
        "feedback": feedback,
        "seed": run.seed,
        "steps": run.steps,
        "num_labeled": run.num_labeled,
        "test_accuracy": accuracy,
        "weights_digest": evaluation.weights_digest(method.networks),
        "versions": workdir.versions(),
        "git_revision": workdir.git_revision(),
    }


def announce(experiment):
    """Says what is about to run."""
    run, split, method = experiment.config.run, experiment.split, experiment.method
    sizes = ", ".join(
        f"{len(getattr(split, part))} {part}"
        for part in ("labeled", "unlabeled", "validation", "test")
    )
    console.say(f"{type(method).__name__} on {run.dataset}: {sizes} images")
    console.say(
        f"Network {run.network}, {method.student.count_params():,} parameters; "
        f"{run.steps} steps, then {run.finetune_steps} of finetuning"
    )
    if method.unlabeled_views:
        console.say("Hidden labels of unlabeled images: for pseudo_label_accuracy in the log alone")
    console.say(f"Run folder: {experiment.path}")


def summarize(results, path):
    """Says how a run ended and where its files lie."""
    rows = [(k, f"{v:.4f}") for k, v in results["test_accuracy"].items() if v is not None]
    rows[-1] = (rows[-1][0], rows[-1][1] + "  (exported)")
    files = [
        ("report.png", "curves, confusion matrix, worst mistakes"),
        ("metrics.csv", "every logged number by step; tensorboard/ has the same"),
        ("results.json", "these results, package versions, a digest of the weights"),
        ("run.flags", "this run again: --flagfile=run.flags"),
        ("export/1", "SavedModel: uint8 images in, classes out"),
    ]
    console.say(f"\nTest accuracy\n{console.table(rows)}")
    console.say(f"{results['seconds']:.0f} seconds. In {path}:\n{console.table(files)}")
