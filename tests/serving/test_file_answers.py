"""Answers to the files that predict is given, and names that it prints."""

import io
import json
import os
import sys

import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.serving import file_answers

PNG = tf.io.encode_png(np.zeros([2, 2, 3], np.uint8)).numpy()
ODD = os.fsdecode(b"\xff") + "\u00e9\n\U0001f600.png"


class Export:
    """`serving_bytes` of an export that refuses some files, and counts what it is asked."""

    def __init__(self, refused=()):
        self.refused, self.asked = refused, []

    def __call__(self, image_bytes):
        files = image_bytes.numpy().tolist()
        self.asked.append(len(files))
        if not set(files).isdisjoint(self.refused):
            raise tf.errors.InvalidArgumentError(None, None, "no image")
        return {"probabilities": tf.constant([[len(file), 0] for file in files])}


@pytest.fixture
def put(tmp_path):
    """put(content, ...): the paths of files that hold it."""

    def write(*contents):
        paths = [tmp_path / f"{number}.png" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        return list(map(str, paths))

    return write


def test_files_that_the_export_alone_refuses_do_not_stop_the_others(put):
    export = Export(refused=[PNG + b"new"])
    paths = put(PNG, PNG + b"new", b"text", PNG + b"...")
    rows = list(file_answers.classify(export, paths))
    assert [row[0] for row in rows] == paths
    assert [None if probs is None else probs[0] for _, probs, _ in rows] == [
        len(PNG),
        None,
        None,
        len(PNG) + 3,
    ]
    assert rows[1][2] == "is refused by this export; a newer one may take it"
    assert rows[2][2].startswith("is no JPEG")
    assert export.asked == [3, 1, 1, 1]


def test_an_answer_that_is_no_number_is_a_reason_and_no_class(put):
    paths = put(PNG, PNG + b"bright")

    def overflow(image_bytes):
        values = [
            [np.nan, 1] if file.endswith(b"bright") else [0, 1] for file in image_bytes.numpy()
        ]
        return {"probabilities": tf.constant(values, tf.float32)}

    (_, probs, reason), (_, nothing, why) = file_answers.classify(overflow, paths)
    assert probs.tolist() == [0, 1] and not reason
    assert nothing is None and why.startswith("has probabilities that are NaN or infinite")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none of them")
def test_what_never_ends_is_named(put, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    rows = list(
        file_answers.classify(Export(), [str(tmp_path / "pipe.png"), "/dev/zero", *put(PNG)])
    )
    assert [reason for _, _, reason in rows] == [
        "cannot be read: it is a pipe, no regular file",
        "cannot be read: it is a device, no regular file",
        "",
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_cannot_be_shown_are_escaped(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    answer = file_answers.Writer("jsonl", ["\u00e9", "b"], 2).line(ODD, np.array([1.0, 0.0]))
    answer.encode(encoding)
    assert json.loads(answer)["file"] == ODD
    assert json.loads(answer)["predicted"] == "\u00e9"
    plain = file_answers.Writer("jsonl", ["\u00e9"], 1).line("\u00e9.png", np.array([1.0]))
    assert ("\u00e9.png" in plain) == (encoding != "ascii")
    table = file_answers.Writer("table", ["a"], 1).line(ODD, np.array([1.0]))
    assert table.endswith("\\udcff\u00e9\\n\U0001f600.png")
