"""Asks a TensorFlow Serving that has an export of mpl_tf for the classes of image files.

    python tools/serving_client.py --model=my_model picture.jpg more.png
    python tools/serving_client.py --model=my_model --grpc picture.jpg

REST needs Python's standard library alone; --grpc needs pip install tensorflow-serving-api.
"""

import argparse
import base64
import contextlib
import http.client
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any


class ServingError(Exception):
    """The server cannot be reached, or refuses; the message has its answer."""


def rest(
    server: str, model: str, method: str, request: dict[str, Any], timeout: float = 60
) -> dict[str, Any]:
    """One request over REST.

    Args:
      server: host:port.
      model: the model's name, or NAME/versions/NUMBER.
      method: "predict" or "classify".
      request: the body.
      timeout: seconds.

    Returns:
      The answer's body.

    Raises:
      ServingError: there is no answer, or it is an error.
    """
    url = f"http://{server}/v1/models/{urllib.parse.quote(model)}:{method}"
    body = json.dumps(request).encode()
    post = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(post, timeout=timeout) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):  # else the text as it is
            text = json.loads(text)["error"]
        raise ServingError(f"{url}: {error.code}: {text}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ServingError(f"{url}: {error or type(error).__name__}") from error


def rest_predict(server: str, model: str, files: Sequence[bytes]) -> list[tuple[str, list[float]]]:
    """The label and the probabilities of each encoded image."""
    instances = [{"image_bytes": {"b64": base64.b64encode(file).decode()}} for file in files]
    request = {"signature_name": "serving_bytes", "instances": instances}
    answer = rest(server, model, "predict", request)
    with _of_an_export(server, model):
        return [(str(row["labels"]), list(row["probabilities"])) for row in answer["predictions"]]


def rest_classify(server: str, model: str, files: Sequence[bytes]) -> list[list[tuple[str, float]]]:
    """All classes and their scores, for each encoded image."""
    examples = [{"image/encoded": {"b64": base64.b64encode(file).decode()}} for file in files]
    request = {"signature_name": "classify", "examples": examples}
    answer = rest(server, model, "classify", request)
    with _of_an_export(server, model):
        return [[(name, score) for name, score in row] for row in answer["result"]]


def grpc_predict(
    server: str, model: str, files: Sequence[bytes], timeout: float = 60
) -> list[tuple[str, list[float]]]:
    """As `rest_predict`, over gRPC."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, "serving_bytes"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(files, tf.string))
    outputs = _call(server, "Predict", request, timeout).outputs
    with _of_an_export(server, model):
        labels, probs = (tf.make_ndarray(outputs[name]) for name in ("labels", "probabilities"))
        rows = zip(labels.tolist(), probs.tolist(), strict=True)
        return [(label.decode(), row) for label, row in rows]


def grpc_classify(
    server: str, model: str, files: Sequence[bytes], timeout: float = 60
) -> list[list[tuple[str, float]]]:
    """As `rest_classify`, over gRPC."""
    from tensorflow_serving.apis import classification_pb2

    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = model, "classify"
    for file in files:
        example = request.input.example_list.examples.add()
        example.features.feature["image/encoded"].bytes_list.value.append(file)
    rows = _call(server, "Classify", request, timeout).result.classifications
    return [[(entry.label, entry.score) for entry in row.classes] for row in rows]


@contextlib.contextmanager
def _of_an_export(server: str, model: str) -> Iterator[None]:
    """While an answer is taken apart: one of another form is another program's."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServingError(
            f"{server}: the answer has no labels and probabilities; {model} is no export of mpl_tf."
        ) from error


def host_and_port(text: str) -> str:
    """An argparse type: host:port, or a host."""
    match = re.fullmatch(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?", text)
    if not match or not 0 < int(match[2] or 1) < 2**16:
        raise argparse.ArgumentTypeError(
            f"must be host:port, such as localhost:8501, without http:// and path; received {text}"
        )
    return text


def _call(server, method, request, timeout):
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    options = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
    with grpc.insecure_channel(server, options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            return getattr(stub, method)(request, timeout)
        except grpc.RpcError as error:
            raise ServingError(f"{server}: {error.code().name}: {error.details()}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; None takes the process's own.

    Returns:
      The exit status: 0 done, 1 if the server did not answer or refused, 2 bad input.
    """
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("files", nargs="+", metavar="FILE", help="image files")
    parser.add_argument("--model", required=True, help="the model's name on the server")
    parser.add_argument(
        "--server",
        type=host_and_port,
        help="host:port [localhost:8501, with --grpc localhost:8500]",
    )
    parser.add_argument("--grpc", action="store_true", help="gRPC instead of REST")
    arguments = parser.parse_args(argv)
    contents = []
    for name in arguments.files:
        try:
            if os.path.exists(name) and not os.path.isfile(name):
                parser.error(f"{name} is no file")
            with open(name, "rb") as file:
                contents.append(file.read())
        except OSError as error:
            parser.error(f"{name} cannot be read: {error.strerror}")
    ask, server = (
        (grpc_predict, "localhost:8500") if arguments.grpc else (rest_predict, "localhost:8501")
    )
    try:
        answers = ask(arguments.server or server, arguments.model, contents)
    except ServingError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        parser.error(f"{error.name} is missing: pip install tensorflow-serving-api")
    for name, (label, probs) in zip(arguments.files, answers, strict=True):
        print(f"{label}  {max(probs):6.1%}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
