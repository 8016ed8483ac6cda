"""Takes one step of each asked method and writes the bytes that TensorFlow's allocator reports.

    python tests/tools/step_memory.py '[["mpl", {}], ["vat", {"recompute": true}]]' peaks.json

In a process of its own, operations run one at a time: the estimate is of such a step. Where they
run side by side, their order, and with it the peak, depends on what else the machine does.
The file is a list of bytes in the order that was asked for, or null where no statistics are kept.
"""

import json
import pathlib
import sys

import tensorflow as tf

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tools"))

import made_up_batch
from mpl_tf import config
from mpl_tf.runs import building

SHAPE = (32, 32, 3)
LABELED, RATIO = 8, 3
_DEVICE = "CPU:0"


def settings(method, **options):
    """The settings of a step of `method` on images of SHAPE."""
    sizes = {"labeled_batch": LABELED}
    if method != "supervised":
        sizes["unlabeled_ratio"] = RATIO
    return config.make(
        {"dataset": "cifar10", "network": "small", "method": method} | sizes | options
    )


def peak_of(made):
    """Bytes in use where a step uses most.

    The allocator counts no tensor of less than 256 KiB, and so none of this network's variables.
    """
    memory = tf.config.experimental
    before = memory.get_memory_info(_DEVICE)["current"]
    method, _ = building.build_method(made, 10, SHAPE, LABELED * RATIO)
    batch = made_up_batch.make(method, made.run, 10, SHAPE)
    step = tf.function(method.train_step, autograph=False)
    batch = {name: tf.constant(value) for name, value in batch.items()}
    step.get_concrete_function(batch)
    memory.reset_memory_stats(_DEVICE)
    step(batch)
    return int(memory.get_memory_info(_DEVICE)["peak"] - before)


def main(asked, to):
    tf.config.threading.set_inter_op_parallelism_threads(1)
    try:
        tf.config.experimental.get_memory_info(_DEVICE)
        peaks = [peak_of(settings(method, **options)) for method, options in json.loads(asked)]
    except ValueError:
        peaks = None
    pathlib.Path(to).write_text(json.dumps(peaks))


if __name__ == "__main__":
    main(*sys.argv[1:])
