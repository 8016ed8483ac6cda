"""`python -m mpl_tf.evaluate`: what a network gets right, on images with labels."""

import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from mpl_tf import cli, console
from mpl_tf.engine.roles import DELIVERED, ROLES
from mpl_tf.options import ConfigError, option

COMMAND = cli.Command(
    "python -m mpl_tf.evaluate",
    """Measure a network of a run, or an export, on test images: top-1, top-5, each class,
calibration before and after the temperature. Writes evaluation.json and evaluation.png.

  python -m mpl_tf.evaluate --workdir=runs/digits-mpl-0 --which=teacher
  python -m mpl_tf.evaluate --model=my_model --dataset=folder:my_images --to=measured""",
)

_MEASURED, _PICTURE = "evaluation.json", "evaluation.png"


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured, and on what."""

    workdir: str = option("", "Folder of the run whose network is measured.", path=True)
    model: str = option(
        "",
        "Instead of a run's network: an export, a folder of versions of one, or the folder of a "
        "run or of auto, whose export is measured.",
        path=True,
    )
    which: str = option(
        DELIVERED,
        "Network of the run: what it delivers, or the teacher, the student, the student's moving "
        "average (ema), or that finetuned.",
        choices=(DELIVERED, *ROLES),
    )
    dataset: str = option(
        "",
        "The images, as `python -m mpl_tf.train` takes them, or a folder with no other part; if "
        "empty, those of the run. Classes are matched by their names.",
    )
    data_dir: str = option(
        "",
        "Folder of TensorFlow Datasets; if empty, $TFDS_DATA_DIR, else ~/tensorflow_datasets.",
        path=True,
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
        path=True,
    )
    to: str = option(
        "",
        "Folder to write to; if empty, `evaluation` in the run folder or the current one.",
        path=True,
    )
    batch: int = option(500, "Images that are classified at once.", low=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 done, 2 bad input, 130 stopped by the keyboard, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, cli.parser(COMMAND, Options), _evaluate)


def _evaluate(options: Options) -> int:
    if bool(options.workdir) == bool(options.model):
        raise ConfigError("either --workdir or --model must say what is measured.")
    if options.model and not options.dataset:
        raise ConfigError("--model needs --dataset: the images to measure it on.")
    from mpl_tf import data, files
    from mpl_tf.config import places
    from mpl_tf.evaluation import imagenet_real
    from mpl_tf.evaluation import subject as subjects
    from mpl_tf.formulas import calibration, measures
    from mpl_tf.images.parts import check_outside
    from mpl_tf.runs import folder as run_folder

    folder = options.to or os.path.join(options.workdir, run_folder.EVALUATION)
    files.check_folder(folder, (_MEASURED, _PICTURE))
    real = imagenet_real.read(options.real_labels) if options.real_labels else None
    if options.dataset:
        # Complains before networks are built.
        check_outside("to", folder, options.dataset)
        data.find_part(options.dataset, options.part, options.data_dir)
    if options.workdir:
        subject = subjects.of_run(options.workdir, options.which)
    else:
        subject = subjects.of_export(options.model)
    dataset, data_dir = places.dataset(options.dataset), options.data_dir
    if not dataset and subject.run is not None:
        dataset = subject.run.config.run.dataset
        data_dir = data_dir or subject.run.config.data.data_dir
        check_outside("to", folder, dataset)
    images = subjects.load_images(
        subject,
        options.dataset,
        data_dir=options.data_dir,
        part=options.part,
        skip_broken=options.skip_broken,
    )
    if real is not None:
        names = imagenet_real.file_names(images, dataset, data_dir)
        real = imagenet_real.labels_of(names, real, len(subject.class_names))
    probs = subjects.probabilities(subject, images, options.batch)
    measured = {
        "network": subject.name,
        "dataset": dataset,
        "part": options.part,
        "images": len(images),
        **measures.measure(probs, images.labels, subject.class_names),
    }
    before = calibration.uncalibrated(probs, subject.calibration_temperature)
    measured["calibration_temperature"] = subject.calibration_temperature
    measured["calibration_error_before"] = measures.calibration_error(before, images.labels)
    same_images = options.part == "validation" and dataset == places.dataset(subject.dataset)
    measured["held_out"] = not (same_images and subject.calibration_temperature != 1)
    if real is not None:
        measured["real_accuracy"], measured["real_images"] = measures.real_accuracy(probs, real)
    title = f"{subject.name} on {len(images)} {options.part} images of {dataset}"
    _write(folder, title, measured, probs, before, images.labels, subject.class_names)
    _say(title, measured, folder)
    return cli.DONE


def _write(
    folder: str,
    title: str,
    measured: dict[str, Any],
    probs: np.ndarray,
    before: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
) -> None:
    from mpl_tf import files
    from mpl_tf.runs import answers

    try:
        os.makedirs(folder, exist_ok=True)
        files.write_json(os.path.join(folder, _MEASURED), measured)
        answers.draw(
            os.path.join(folder, _PICTURE),
            title=f"{title}: {measured['accuracy']:.2%}",
            probs=probs,
            before=before if measured["calibration_temperature"] != 1 else None,
            labels=labels,
            class_names=class_names,
        )
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}.") from error


def _say(title: str, measured: dict[str, Any], folder: str) -> None:
    temperature, before = measured["calibration_temperature"], measured["calibration_error_before"]
    rows = [
        ("top-1 accuracy", measured["accuracy"]),
        ("top-5 accuracy", measured["top_5_accuracy"]),
        ("expected calibration error", measured["calibration_error"]),
        (f"  before temperature {temperature:.3g}", before if temperature != 1 else None),
        ("accuracy on real labels", measured.get("real_accuracy")),
    ]
    console.say(title)
    console.say(console.table([(name, f"{v:.4f}") for name, v in rows if v is not None]))
    if not measured["held_out"]:
        console.say("The temperature was fitted on these images: its error is not held out")
    if measured.get("real_images") == 0:
        console.say("None of the images has a real label")
    classes = [(v, name) for name, v in measured["class_accuracy"].items() if v is not None]
    console.say("Classes, worst first")
    console.say(console.table([(name, f"{v:.4f}") for v, name in sorted(classes)[:10]]))
    console.say(f"In {folder}: {_MEASURED}, {_PICTURE}")


if __name__ == "__main__":
    sys.exit(main())
