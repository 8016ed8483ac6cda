"""`python -m mpl_tf.auto`: a classifier of a folder, and what it says of the images."""

import dataclasses
import os
import sys
from collections.abc import Sequence

from mpl_tf import cli, console
from mpl_tf.auto.options import AutoConfig
from mpl_tf.options import ConfigError

COMMAND = cli.Command(
    "python -m mpl_tf.auto",
    """Find a classifier of a folder with few labels, within minutes: a pretrained network sees each
image once, a logistic regression on its features is measured on held-out labeled images, and the
network is exported with it. Writes predictions for all unlabeled images, the images whose labels
would help most, and the labels that predictions contradict, each with a contact sheet.

  python -m mpl_tf.auto --dataset=folder:my_images --minutes=10""",
    failed="no room on the disk",
    after_stop="The same command continues with what is not done.",
)

# Options that results do not depend on.
_FREE = ("minutes", "workdir", "cache_dir", "data_dir", "label_next")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 done, 1 no room on the disk, 2 bad input, 130 stopped by the keyboard, 143
      by SIGTERM.
    """
    return cli.run(COMMAND, argv, cli.parser(COMMAND, AutoConfig), _search)


def _search(options: AutoConfig) -> int:
    if not options.dataset:
        raise ConfigError("--dataset must say which images, such as folder:my_images.")
    from mpl_tf import data, networks
    from mpl_tf.auto import material, search
    from mpl_tf.data.options import DataConfig
    from mpl_tf.networks import parts
    from mpl_tf.runs import folder

    dataset = data.find(options.dataset, options.data_dir)
    build = networks.find(options.network)
    if not networks.has_parts(options.network):
        raise ConfigError(
            "--network must be one of a backbone and a head, such as keras:EfficientNetV2B0; "
            f"received {options.network}, which is trained as a whole."
        )
    weights = {}
    if networks.takes_weights(options.network):
        weights["weights"] = options.network_weights
        networks.check(options.network, options.network_weights, options.image_size)
    name = os.path.basename(os.path.normpath(options.dataset.partition(":")[2] or options.dataset))
    path = options.workdir or os.path.join("runs", f"auto-{name}")
    check_folder(path)
    source = dataset.load(
        DataConfig(
            data_dir=options.data_dir,
            image_size=options.image_size,
            skip_broken=options.skip_broken,
        )
    )
    network = build(len(source.class_names), source.train.shape, seed=options.seed, **weights)
    directory = options.cache_dir or os.path.join(
        os.path.dirname(os.path.abspath(path)), "features"
    )
    settings = dataclasses.asdict(options)
    key = material.key(source, {k: v for k, v in settings.items() if k not in _FREE})
    try:
        with folder.lock(path):
            images = material.prepare(source, parts.backbone(network), directory, options.seed)
            search.find_best(images, path, key, 60 * options.minutes, options.label_next)
    except OSError as error:
        raise cli.Failure(f"{path} cannot be written: {error.strerror or error}.") from error
    console.say(f"In {path}: {', '.join(sorted(os.listdir(path)))}")
    return cli.DONE


def check_folder(path: str) -> None:
    """Refuses a folder that holds something else than what this command writes.

    Args:
      path: the folder, which need not be there.

    Raises:
      ConfigError: it does, or cannot be written.
    """
    from mpl_tf import files
    from mpl_tf.auto.ladder import JOURNAL
    from mpl_tf.runs import folder

    files.check_folder(path)
    there = os.listdir(path) if os.path.isdir(path) else []
    if JOURNAL not in there and (others := sorted(set(there) - {folder.LOCK})):
        raise ConfigError(
            f"{path} has no {JOURNAL} and holds something else ({', '.join(others[:3])}); choose "
            "another --workdir."
        )


if __name__ == "__main__":
    sys.exit(main())
