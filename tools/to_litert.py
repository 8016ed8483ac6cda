"""A run's export for phones and small devices: LiteRT files, measured on the run's test images.

    python tools/to_litert.py runs/digits-mpl-0 --to=litert

writes float32.tflite and int8.tflite. Both give `probabilities`, float32 [N, K]; the first takes
images as float32, the second as uint8 [N, H, W, C], values 0 to 255, and computes with 8-bit
integers, whose scales are found on unlabeled images of the run. Printed are size, accuracy and what
it lost. It needs the run's data and pip install 'mpl_tf[convert]'.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence

import numpy as np

from arguments import local_path, output_folder
from mpl_tf import cli, console
from mpl_tf.options import ConfigError

COMMAND = cli.Command("python tools/to_litert.py", __doc__)


def convert(path: str, calibration: np.ndarray | None = None) -> bytes:
    """An export as a LiteRT model.

    Args:
      path: the folder of an export.
      calibration: uint8 [M, H, W, C], images on which the scales of 8-bit integers are found; None
        keeps float32.
    """
    import tensorflow as tf

    from mpl_tf.serving import loading

    export = loading.load(path)
    spec = tf.TensorSpec([None, *export.image_shape], tf.float32, name="images")

    def answer(images):
        return {"probabilities": export.module.probabilities(images)}

    function = tf.function(answer, input_signature=[spec], autograph=False)
    concrete = function.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], export.module)
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: (
            [image[None].astype(np.float32)] for image in calibration
        )
        converter.inference_input_type = tf.uint8
    return converter.convert()


def probabilities(model: bytes, images: np.ndarray, batch: int = 100) -> np.ndarray:
    """What a LiteRT model answers.

    Args:
      model: as from `convert`.
      images: uint8 [N, H, W, C].
      batch: images at once.

    Returns:
      float32 [N, K].
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    inputs, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    probs = []
    for first in range(0, len(images), batch):
        part = images[first : first + batch].astype(inputs["dtype"])
        interpreter.resize_tensor_input(inputs["index"], part.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(inputs["index"], part)
        interpreter.invoke()
        probs.append(interpreter.get_tensor(outputs["index"]))
    return np.concatenate(probs)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 done, 2 bad input, 130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, _parse, _work)


def _parse(argv):
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("run", type=local_path, help="the folder of a run")
    parser.add_argument("--to", type=output_folder, required=True, help="the folder to write to")
    parser.add_argument("--model", type=local_path, help="another export than the run's own")
    parser.add_argument(
        "--calibration", type=int, default=500, metavar="N", help="unlabeled images used [500]"
    )
    arguments = parser.parse_args(argv)
    if arguments.calibration < 1:
        parser.error(f"--calibration: must be at least 1; received {arguments.calibration}")
    return (arguments,)


def _work(arguments):
    try:
        return _run(arguments)
    except OSError as error:
        raise ConfigError(str(error)) from error


def _run(arguments):
    try:
        import ai_edge_litert  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'mpl_tf[convert]'.") from error
    from mpl_tf import data, files
    from mpl_tf.evaluation import subject
    from mpl_tf.formulas import measures
    from mpl_tf.runs import experiment, restore
    from mpl_tf.runs import folder as run_folder
    from mpl_tf.serving import saved_model

    run = restore.find(arguments.run)
    path = saved_model.find(run_folder.exports_of(arguments.model or run.path))
    options = run.config.data
    if options.eval_image_size:
        options = dataclasses.replace(options, image_size=options.eval_image_size)
    source = data.find(run.config.run.dataset, options.data_dir).load(options)
    split = experiment.make_split(run.config, source)
    models = {
        "float32.tflite": convert(path),
        "int8.tflite": convert(path, split.unlabeled.sample(arguments.calibration, seed=0)),
    }
    os.makedirs(arguments.to, exist_ok=True)
    for name, model in models.items():
        file = os.path.join(arguments.to, name)
        with files.whole(file) as partial, open(partial, "wb") as opened:
            opened.write(model)
    part = "test" if split.test else "validation"
    images = split.test or split.validation
    if images is None:
        console.say("The run has no test or validation images to measure accuracy on")
        return cli.DONE
    accuracy = measures.accuracy(
        subject.probabilities(subject.of_export(path), images, 500), images.labels
    )
    rows = [(path, f"accuracy {accuracy:.4f} on {len(images)} {part} images")]
    for name, model in models.items():
        converted = measures.accuracy(probabilities(model, images.images), images.labels)
        lost = f"accuracy {converted:.4f}, lost {accuracy - converted:.4f}"
        rows.append((os.path.join(arguments.to, name), f"{lost}; {len(model) / 1024:.0f} KiB"))
    console.say(console.table(rows))
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())
