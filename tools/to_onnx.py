"""An export as an ONNX file, compared with the export on random images.

    python tools/to_onnx.py my_model --to=my_model.onnx

The file takes `images`, uint8 [N, H, W, C], and gives `probabilities`, float32 [N, K]; its metadata
has the class names. It needs pip install 'mpl_tf[convert]'.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from arguments import local_path, output_file
from mpl_tf import cli, console
from mpl_tf.options import ConfigError

if TYPE_CHECKING:
    import onnx

_TOLERANCE = 1e-5
COMMAND = cli.Command(
    "python tools/to_onnx.py",
    __doc__,
    failed=f"the file answers otherwise than the export by more than {_TOLERANCE}",
)


def convert(path: str, opset: int = 18) -> "onnx.ModelProto":
    """An export as an ONNX model.

    Args:
      path: the folder of an export.
      opset: ONNX's version of operators.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx

    from mpl_tf.serving import loading

    export = loading.load(path)
    spec = tf.TensorSpec([None, *export.image_shape], tf.uint8, name="images")

    def answer(images):
        return {"probabilities": export.module.probabilities(tf.cast(images, tf.float32))}

    function = tf.function(answer, input_signature=[spec], autograph=False)
    model, _ = tf2onnx.convert.from_function(function, input_signature=[spec], opset=opset)
    names = json.dumps(export.class_names)
    onnx.helper.set_model_props(model, {"class_names": names})
    return model


def difference(file: str, path: str, count: int = 8) -> float:
    """The greatest difference between the probabilities of an ONNX file and an export.

    Args:
      file: the ONNX file.
      path: the folder of the export.
      count: random images.
    """
    import onnxruntime

    from mpl_tf.serving import loading

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape[1:]
    images = np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.uint8)
    (theirs,) = session.run(["probabilities"], {"images": images})
    export = loading.load(path)
    ours = export.signatures["serving_default"](images=images)["probabilities"].numpy()
    return float(np.abs(theirs - ours).max())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 done, 1 if the file answers otherwise than the export by more than 1e-5, 2
      bad input, 130 stopped by Ctrl-C, 143 by SIGTERM.
    """
    return cli.run(COMMAND, argv, _parse, _work)


def _parse(argv):
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument(
        "model", type=local_path, help="an export, a folder of versions of one, or of a run"
    )
    parser.add_argument("--to", type=output_file, required=True, help="the ONNX file to write")
    parser.add_argument("--opset", type=int, default=18, help="version of ONNX's operators [18]")
    return (parser.parse_args(argv),)


def _work(arguments):
    try:
        return _run(arguments)
    except OSError as error:
        raise ConfigError(str(error)) from error


def _run(arguments):
    try:
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'mpl_tf[convert]'.") from error
    from mpl_tf import files
    from mpl_tf.runs import folder as run_folder
    from mpl_tf.serving import saved_model

    path = saved_model.find(run_folder.exports_of(arguments.model))
    model = convert(path, arguments.opset)
    os.makedirs(os.path.dirname(os.path.abspath(arguments.to)), exist_ok=True)
    with files.whole(arguments.to) as partial:
        with open(partial, "wb") as file:
            file.write(model.SerializeToString())
        error = difference(partial, path)
    console.say(f"{arguments.to}: differs from {path} by {error:.1e} at most")
    return cli.DONE if error <= _TOLERANCE else cli.FAILED


if __name__ == "__main__":
    sys.exit(main())
