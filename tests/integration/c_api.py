"""A program for the tests: an export answers through TensorFlow's C library, without Python's.

    python -I -S c_api.py REQUEST.json

It uses the standard library alone. The request names the libraries, the export, and for each call
the tensors' names, the content of its input and where its output goes.
"""

import ctypes
import json
import pathlib
import sys

UINT8, STRING = 4, 7  # TF_DataType


class Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


def load(paths):
    for path in paths[:-1]:
        ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(paths[-1], ctypes.RTLD_GLOBAL)
    for name in (
        "TF_NewStatus", "TF_NewSessionOptions", "TF_NewGraph", "TF_GraphOperationByName",
        "TF_LoadSessionFromSavedModel", "TF_AllocateTensor", "TF_TensorData",
    ):  # fmt: skip
        getattr(library, name).restype = ctypes.c_void_p
    library.TF_Message.restype = ctypes.c_char_p
    library.TF_TensorByteSize.restype = ctypes.c_size_t
    return library


def main():
    request = json.loads(pathlib.Path(sys.argv[1]).read_text())
    tf = load(request["libraries"])
    status = ctypes.c_void_p(tf.TF_NewStatus())

    def check():
        if tf.TF_GetCode(status):
            sys.exit(tf.TF_Message(status).decode())

    graph = ctypes.c_void_p(tf.TF_NewGraph())
    session = tf.TF_LoadSessionFromSavedModel(
        ctypes.c_void_p(tf.TF_NewSessionOptions()),
        None,
        request["export"].encode(),
        (ctypes.c_char_p * 1)(b"serve"),
        1,
        graph,
        None,
        status,
    )
    check()

    def output(name):
        operation, _, index = name.partition(":")
        pointer = tf.TF_GraphOperationByName(graph, operation.encode())
        if not pointer:
            sys.exit(f"no operation {operation}")
        return (Output * 1)(Output(pointer, int(index)))

    def tensor(call):
        files = [pathlib.Path(file).read_bytes() for file in call["files"]]
        dtype, width = (STRING, 24) if call["strings"] else (UINT8, 1)
        count = len(files) if call["strings"] else len(files[0])
        dims = (ctypes.c_int64 * len(call["shape"]))(*call["shape"])
        size = ctypes.c_size_t(count * width)
        allocated = ctypes.c_void_p(tf.TF_AllocateTensor(dtype, dims, len(dims), size))
        data = tf.TF_TensorData(allocated)
        if call["strings"]:
            for index, file in enumerate(files):
                cell = ctypes.c_void_p(data + width * index)
                tf.TF_StringInit(cell)
                tf.TF_StringCopy(cell, file, ctypes.c_size_t(len(file)))
        else:
            ctypes.memmove(data, files[0], len(files[0]))
        return allocated

    for call in request["calls"]:
        inputs = (ctypes.c_void_p * 1)(tensor(call))
        outputs = (ctypes.c_void_p * 1)()
        tf.TF_SessionRun(
            ctypes.c_void_p(session), None, output(call["input"]), inputs, 1,
            output(call["output"]), outputs, 1, None, 0, None, status,
        )  # fmt: skip
        check()
        result = ctypes.c_void_p(outputs[0])
        content = ctypes.string_at(tf.TF_TensorData(result), tf.TF_TensorByteSize(result))
        pathlib.Path(call["to"]).write_bytes(content)
    if any(name in sys.modules for name in ("tensorflow", "numpy", "mpl_tf")):
        sys.exit("a library was imported after all")


main()
