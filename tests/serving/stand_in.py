"""A small server for the tests that speaks TensorFlow Serving's REST and gRPC.

It loads an export with TensorFlow's SavedModel loader and follows the published protocol where the
project's client and README use it: predict in rows, classify, status, errors. It holds neither
queues nor batches.
"""

import base64
import concurrent.futures
import http.server
import json
import os
import re
import threading

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

_PATH = re.compile(r"/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>\d+))?(:(?P<method>\w+))?")


class NotFoundError(Exception):
    """There is no such model."""


class Model:
    """The newest version in a folder; its signatures by name, and what they may be asked for."""

    def __init__(self, name, folder):
        self.name, self.version = name, max(int(v) for v in os.listdir(folder) if v.isdecimal())
        path = os.path.join(folder, str(self.version))
        self._loaded = tf.saved_model.load(path)
        with open(os.path.join(path, "saved_model.pb"), "rb") as file:
            (meta,) = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
        self._definitions = meta.signature_def
        self._warm_up(os.path.join(path, "assets.extra", "tf_serving_warmup_requests"))

    def _warm_up(self, path):
        self.warmed = 0
        for record in tf.data.TFRecordDataset(path):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
            field = log.WhichOneof("log_type")
            answer = {"predict_log": self.predict, "classify_log": self.classify}[field]
            answer(getattr(log, field).request)
            self.warmed += 1

    def check(self, name, version=None):
        if name != self.name or (version and int(version) != self.version):
            raise NotFoundError(f"Servable not found for request: Specific({name}, {version})")

    def definition(self, name):
        name = name or "serving_default"
        if name not in self._definitions:
            raise ValueError(f'Serving signature name: "{name}" not found in signature def')
        return name, self._definitions[name]

    def run(self, name, inputs):
        """inputs: dict of name -> array; returns dict of name -> array."""
        name, definition = self.definition(name)
        if set(inputs) != set(definition.inputs):
            raise ValueError(
                f"input tensor alias not found: {sorted(inputs)}; inputs expected to be in the "
                f"set {sorted(definition.inputs)}"
            )
        dtypes = {key: tf.DType(info.dtype) for key, info in definition.inputs.items()}
        tensors = {key: tf.constant(value, dtypes[key]) for key, value in inputs.items()}
        outputs = self._loaded.signatures[name](**tensors)
        return {key: value.numpy() for key, value in outputs.items()}

    def predict(self, request):
        """predict_pb2.PredictRequest -> PredictResponse."""
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        answer = predict_pb2.PredictResponse()
        for key, value in self.run(request.model_spec.signature_name, inputs).items():
            answer.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return answer

    def classify(self, request):
        """classification_pb2.ClassificationRequest -> ClassificationResponse."""
        name, definition = self.definition(request.model_spec.signature_name)
        if definition.method_name != "tensorflow/serving/classify":
            raise ValueError(
                "Expected classification signature method_name to be tensorflow/serving/classify. "
                f"Was: {definition.method_name}"
            )
        if list(definition.inputs) != ["inputs"]:
            raise ValueError("Expected one input tensor called inputs")
        examples = [e.SerializeToString() for e in request.input.example_list.examples]
        if not examples:
            raise ValueError("Input is empty")
        outputs = self.run(name, {"inputs": examples})
        classes, scores = outputs["classes"], outputs["scores"]
        if classes.shape != scores.shape or scores.dtype != np.float32:
            raise ValueError("classes and scores do not match")
        answer = classification_pb2.ClassificationResponse()
        for image_classes, image_scores in zip(classes, scores, strict=True):
            row = answer.result.classifications.add()
            for label, score in zip(image_classes, image_scores, strict=True):
                row.classes.add(label=label, score=score)
        return answer

    def rest(self, method, body):
        """The JSON answer (dict) to a JSON request (dict)."""
        if method == "classify":
            request = classification_pb2.ClassificationRequest()
            request.model_spec.signature_name = body.get("signature_name", "")
            for features in body["examples"]:
                request.input.example_list.examples.append(_example(features))
            rows = self.classify(request).result.classifications
            return {"result": [[[c.label, c.score] for c in row.classes] for row in rows]}
        name, definition = self.definition(body.get("signature_name"))
        rows = body["instances"]
        named = bool(rows) and isinstance(rows[0], dict) and set(rows[0]) != {"b64"}
        if not named:
            (only,) = definition.inputs
            rows = [{only: row} for row in rows]
        inputs = {key: [_plain(row[key]) for row in rows] for key in (rows[0] if rows else ())}
        columns = {
            key: [v.decode() if isinstance(v, bytes) else v for v in value.tolist()]
            for key, value in self.run(name, inputs).items()
        }
        return {
            "predictions": [
                {key: column[i] for key, column in columns.items()} for i in range(len(rows))
            ]
        }


def _plain(value):
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def _example(features):
    example = tf.train.Example()
    for key, values in features.items():
        for value in values if isinstance(values, list) else [values]:
            value = _plain(value)
            value = value.encode() if isinstance(value, str) else value
            feature = example.features.feature[key]
            lists = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
            lists[type(value)].value.append(value)
    return example


class _Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, model):
        self._model = model

    def _answer(self, work, request, context):
        try:
            self._model.check(request.model_spec.name)
            return work(request)
        except NotFoundError as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    def Predict(self, request, context):  # noqa: N802 - the protocol's name
        return self._answer(self._model.predict, request, context)

    def Classify(self, request, context):  # noqa: N802
        return self._answer(self._model.classify, request, context)


class StandIn:
    """The server, on free ports of this machine; `rest` and `grpc` are host:port."""

    def __init__(self, name, folder):
        self.model = model = Model(name, folder)

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def _send(self, status, body):
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _serve(self, body):
                parts = _PATH.fullmatch(self.path)
                try:
                    if not parts or (parts["method"] is None) != (body is None):
                        raise NotFoundError(f"Malformed request: {self.command} {self.path}")
                    model.check(parts["name"], parts["version"])
                    if body is None:
                        status = {"error_code": "OK", "error_message": ""}
                        entry = {"version": str(model.version), "state": "AVAILABLE"}
                        return 200, {"model_version_status": [entry | {"status": status}]}
                    return 200, model.rest(parts["method"], json.loads(body))
                except NotFoundError as error:
                    return 404, {"error": str(error)}
                except (ValueError, KeyError, tf.errors.InvalidArgumentError) as error:
                    return 400, {"error": str(error)}

            def do_GET(self):
                self._send(*self._serve(None))

            def do_POST(self):
                self._send(*self._serve(self.rfile.read(int(self.headers["Content-Length"]))))

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.rest = f"127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self._grpc = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
        service = _Service(model)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, self._grpc)
        self.grpc = f"127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"
        self._grpc.start()

    def stop(self):
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(None).wait()
