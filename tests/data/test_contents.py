"""Contents of datasets are compared by name, label and digest."""

import numpy as np
import PIL.Image
import pytest

from mpl_tf.data import contents, stores
from mpl_tf.data.contents import Contents


def held(names, labels=None, digests=None):
    count = len(names)
    return Contents(
        np.array(list(names), str),
        np.array(labels or [0] * count, np.int64),
        np.array(digests or range(count), np.uint64),
    )


@pytest.mark.parametrize(
    ("there", "here", "text"),
    [
        (held("abc"), held("abc"), ""),
        (held(""), held(""), ""),
        (held("abc"), held("ab"), "1 removed (c)"),
        (held("ab"), held("abcdef"), "4 added (c, d, e, ...)"),
        (held("abc"), held("abc", digests=[0, 9, 2]), "1 replaced (b)"),
        (held("abc"), held("abc", labels=[0, 1, 1]), "2 labeled differently (b, c)"),
        (held("abc"), held("bca", digests=[1, 2, 0]), "in another order"),
        (held("ab"), held("cb", digests=[0, 7]), "1 removed (a), 1 added (c), 1 replaced (b)"),
    ],
)
def test_differences_are_counted_and_named(there, here, text):
    assert there.differences(here) == text
    assert (there.digest() == here.digest()) == (not text)


def test_parts_come_and_go():
    there, here = {"train": held("a"), "test": held("b")}, {"train": held("a"), "more": held("c")}
    assert contents.differences(there, here) == ["test: 1 removed (b)", "more: 1 added (c)"]


def test_equal_images_have_equal_digests_wherever_they_lie(tmp_path, rng):
    pixels = rng.integers(0, 256, (4, 6, 6, 3), np.uint8)
    pixels[2] = pixels[0]
    paths = [str(tmp_path / f"{i}.png") for i in range(4)]
    for path, image in zip(paths, pixels, strict=True):
        PIL.Image.fromarray(image).save(path)
    in_files = stores.file_store(paths, 4, 3)
    in_memory = stores.in_memory(in_files, 4)
    order = np.array([3, 0, 2, 1])
    np.testing.assert_array_equal(in_files.digests(order), in_memory.digests(order))
    for store in (in_files, stores.ArrayStore(pixels)):
        digests = store.digests(np.arange(4))
        assert digests[0] == digests[2]
        assert len(set(digests.tolist())) == 3
