"""Makes a folder of images in which labels of some classes are rare, of one in which they are not.

    python tools/prepare_data.py longtail FOLDER --to=OUT

FOLDER holds `labeled/<class>/*`, and may hold `validation/<class>/*` and `test/<class>/*`. Of K
classes in the order of their names, the k-th, from 0 on, has round(most * ratio^(-k / (K - 1)))
images in OUT/labeled, and `--unlabeled` times as many others of it lie in OUT/unlabeled, where no
name tells their class. Which ones a seed draws; validation and test images are all taken. Files are
copied as they are, and FOLDER/unlabeled is not read. OUT appears when it is complete.
"""

import argparse
import os
import shlex
import shutil

import numpy as np

from arguments import at_least, check_new, local_path, output_folder
from mpl_tf import console, files
from mpl_tf.options import ConfigError

NAME = "longtail"
HELP = "make a folder of images whose labels are rare in some classes"


def define(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to an argparse parser."""
    parser.add_argument(
        "folder", type=local_path, metavar="FOLDER", help="folder of the images, as above"
    )
    parser.add_argument(
        "--to",
        type=output_folder,
        metavar="OUT",
        required=True,
        help="folder to make; empty or new",
    )
    parser.add_argument(
        "--most", type=at_least(1), default=50, metavar="N", help="labels of the first class [50]"
    )
    parser.add_argument(
        "--ratio",
        type=at_least(1, float),
        default=10.0,
        metavar="X",
        help="labels of the first class over those of the last [10]",
    )
    parser.add_argument(
        "--unlabeled",
        type=at_least(0),
        default=10,
        metavar="N",
        help="unlabeled images of a class over its labels [10]",
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="which images are taken [0]"
    )


def counts(classes: int, most: int, ratio: float) -> list[int]:
    """Labels of each class, by an exponential: round(most * ratio^(-k / (classes - 1))).

    >>> counts(10, 50, 10.0)
    [50, 39, 30, 23, 18, 14, 11, 8, 6, 5]

    Args:
      classes: at least 2.
      most: of the first class.
      ratio: at least 1, the first over the last.
    """
    return [round(most * ratio ** (-k / (classes - 1))) for k in range(classes)]


def run(arguments: argparse.Namespace) -> int:
    """Runs the command.

    Args:
      arguments: what `define` defines.

    Returns:
      The exit status, 0.

    Raises:
      ConfigError: FOLDER has no classes, or too few images of one, or none would have no label; or
        OUT is not empty, or lies in a part of FOLDER.
      OSError: OUT cannot be written.
    """
    from mpl_tf.images import class_folders
    from mpl_tf.images.parts import check_outside

    out = os.path.abspath(arguments.to)
    check_new("--to", out)
    check_outside("to", out, f"folder:{arguments.folder}")
    listed = class_folders.find(arguments.folder)
    copies = chosen(listed, arguments.most, arguments.ratio, arguments.unlabeled, arguments.seed)
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with files.whole(out) as partial:
        for source, target in copies:
            path = os.path.join(partial, target)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copyfile(listed.whole_path(source), path)
    for part in dict.fromkeys(target.partition("/")[0] for _, target in copies):
        number = sum(target.startswith(f"{part}/") for _, target in copies)
        console.say(f"{part}: {number:,} images")
    labels = counts(len(listed.class_names), arguments.most, arguments.ratio)
    pairs = zip(listed.class_names, labels, strict=True)
    console.say("labels: " + ", ".join(f"{number} {console.printable(k)}" for k, number in pairs))
    dataset = shlex.quote(f"folder:{out}")
    console.say(f"Train on it: python -m mpl_tf.train --dataset={dataset} --num_labeled=0")
    return 0


def chosen(listed, most: int, ratio: float, times: int, seed: int) -> list[tuple[str, str]]:
    """(file, name of its copy) of all images of the new folder.

    Args:
      listed: class_folders.ClassFolders of the old one.
      most, ratio: as for `counts`.
      times: unlabeled images of a class over its labels.
      seed: which images.

    Raises:
      ConfigError: there is one class alone, or a class has too few images, or would have no label.
    """
    names = listed.class_names
    if len(names) < 2:
        raise ConfigError(f"{listed.path}/labeled must have at least two classes; it has {names}.")
    rng, copies, pool = np.random.default_rng(seed), [], []
    for label, wanted in enumerate(counts(len(names), most, ratio)):
        own = [file for file, of in listed.parts["labeled"] if of == label]
        if not wanted or wanted * (1 + times) > len(own):
            raise ConfigError(
                f"class {names[label]!r} would have {wanted} labels and {wanted * times} unlabeled "
                f"images, and {listed.path}/labeled has {len(own)} of it. It needs at least one "
                "label, and no more images than there are: change --most, --ratio or --unlabeled."
            )
        drawn = [own[place] for place in rng.permutation(len(own))[: wanted * (1 + times)]]
        copies += [(file, file.replace(os.sep, "/")) for file in sorted(drawn[:wanted])]
        pool += drawn[wanted:]
    digits = len(str(len(pool)))
    for number, place in enumerate(rng.permutation(len(pool))):
        ending = os.path.splitext(pool[place])[1]
        copies.append((pool[place], f"unlabeled/{number:0{digits}}{ending}"))
    for part in ("validation", "test"):
        copies += [(file, file.replace(os.sep, "/")) for file, _ in listed.parts.get(part, ())]
    return copies
