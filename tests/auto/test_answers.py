"""What candidates answer, as files that are read or not there."""

import numpy as np

from mpl_tf.auto import answers


def test_damaged_answers_are_none(tmp_path):
    assert answers.read(str(tmp_path / "none.npy")) is None
    (tmp_path / "half.npy").write_bytes(b"\x93NUMPY")
    assert answers.read(str(tmp_path / "half.npy")) is None
    answers.write(str(tmp_path / "a.npy"), np.eye(2))
    np.testing.assert_array_equal(answers.read(str(tmp_path / "a.npy")), np.eye(2))


def test_answers_are_of_all_held_out_images(images, tmp_path):
    files = answers.Answers(str(tmp_path / "held_out"), images)
    assert files.read("mpl, head") is None
    answers.write(files.file("mpl, head"), np.zeros([8, 3]))
    assert files.read("mpl, head") is None
    answers.write(files.file("mpl, head"), np.ones([9, 3]))
    assert files.read("mpl, head").shape == (9, 3)
    assert (tmp_path / "held_out" / "mpl-head.npy").exists()
