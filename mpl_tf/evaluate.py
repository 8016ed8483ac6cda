"""`python -m mpl_tf.evaluate`: what a network gets right, on images with labels."""

import dataclasses
import os
import sys

from mpl_tf import commands, console
from mpl_tf.options import ConfigError, option

_ABOUT = """Measure a network of a run, or an export, on test images: top-1, top-5, each class,
calibration. Writes evaluation.json and evaluation.png.

  python -m mpl_tf.evaluate --workdir=runs/digits-mpl-0 --which=teacher
  python -m mpl_tf.evaluate --model=my_model --dataset=folder:my_images --to=measured"""


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured, and on what."""

    workdir: str = option("", "Folder of the run whose network is measured.")
    model: str = option("", "Instead of a run: an export, or a folder of versions of one.")
    which: str = option(
        "finetuned",
        "Network of the run: the finetuned moving average of the student (the average itself, if "
        "the run has no finetuning), that average, the student, or the teacher.",
        choices=("finetuned", "ema", "student", "teacher"),
    )
    dataset: str = option(
        "",
        "The images, as `python -m mpl_tf.train` takes them; if empty, those of the run. Classes "
        "are matched by their names.",
    )
    data_dir: str = option(
        "",
        "Folder of TensorFlow Datasets; if empty, $TFDS_DATA_DIR, else ~/tensorflow_datasets.",
    )
    part: str = option("test", "Which of its images.", choices=("test", "validation"))
    skip_broken: bool = option(
        False, "Count and leave out files that are no readable images, instead of refusing them."
    )
    real_labels: str = option(
        "",
        "The reassessed labels of ImageNet's validation images (ImageNet-ReaL's real.json): a list "
        "of lists of class ids. Images without one are left out; others are right if the answer is "
        "one of theirs.",
    )
    to: str = option(
        "", "Folder to write to; if empty, `evaluation` in the run folder or the current one."
    )
    batch: int = option(500, "Images that are classified at once.", low=1)


def main(argv=None):
    """Runs the command line.

    Args:
      argv: sequence of str, the arguments; None takes the process's own.

    Returns:
      int, the exit status: 0 done, 2 bad input, 130 stopped by the keyboard.
    """
    return commands.run(argv, Options, _evaluate, verb="evaluate", about=_ABOUT)


def _evaluate(options):
    if bool(options.workdir) == bool(options.model):
        raise ConfigError("either --workdir or --model must say what is measured.")
    if options.model and not options.dataset:
        raise ConfigError("--model needs --dataset: the images to measure it on.")
    from mpl_tf import data, files
    from mpl_tf.evaluation import imagenet_real
    from mpl_tf.evaluation import subject as subjects
    from mpl_tf.formulas import measures
    from mpl_tf.runs import folder as run_folder
    from mpl_tf.runs import pictures

    real = imagenet_real.read_real_labels(options.real_labels) if options.real_labels else None
    if options.dataset:
        data.find(options.dataset, options.data_dir)  # complains before networks are built
    if options.workdir:
        subject = subjects.of_run(options.workdir, options.which)
    else:
        subject = subjects.of_export(options.model)
    images = subjects.images(subject, options)
    if real is not None:
        real = imagenet_real.real_labels_of(images, real, subject, options)
    probs = subjects.probabilities(subject, images, options.batch)
    found = {
        "network": subject.name,
        "dataset": options.dataset or subject.run.config.run.dataset,
        "part": options.part,
        "images": len(images),
        **measures.measure(probs, images.labels, subject.class_names),
    }
    if real is not None:
        found["real_accuracy"], found["real_images"] = measures.real_accuracy(probs, real)
    folder = options.to or os.path.join(options.workdir, run_folder.EVALUATION)
    title = f"{found['network']} on {len(images)} {options.part} images of {found['dataset']}"
    try:
        os.makedirs(folder, exist_ok=True)
        pictures.draw_evaluation(
            os.path.join(folder, "evaluation.png"),
            title=f"{title}: {found['accuracy']:.2%}",
            probs=probs,
            labels=images.labels,
            class_names=subject.class_names,
        )
        files.write_json(os.path.join(folder, "evaluation.json"), found)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}.") from error
    _say(title, found, folder)
    return commands.DONE


def _say(title, found, folder):
    rows = [
        ("top-1 accuracy", found["accuracy"]),
        ("top-5 accuracy", found["top_5_accuracy"]),
        ("expected calibration error", found["calibration_error"]),
        ("accuracy on real labels", found.get("real_accuracy")),
    ]
    console.say(title)
    console.say(console.table([(name, f"{v:.4f}") for name, v in rows if v is not None]))
    known = [(v, name) for name, v in found["class_accuracy"].items() if v is not None]
    console.say("Classes, worst first")
    console.say(console.table([(name, f"{v:.4f}") for v, name in sorted(known)[:10]]))
    console.say(f"In {folder}: evaluation.json, evaluation.png")


if __name__ == "__main__":
    sys.exit(main())
