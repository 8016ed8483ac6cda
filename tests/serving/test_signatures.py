"""Every kind of image that may arrive: a defined answer, or an error that says what is wrong."""

import io
import re

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf import data
from mpl_tf.images.example import serialize
from mpl_tf.serving import signatures

SHAPE = (8, 6, 3)


@pytest.fixture(scope="module")
def module():
    network = mpl_tf.NETWORKS["small"](3, SHAPE, seed=1)
    return signatures.classifier(network, ["a", "b", "c"])


@pytest.fixture(params=["serving_bytes", "classify"])
def ask(module, request):
    """ask(files): probabilities by one of the signatures that take files."""
    if request.param == "serving_bytes":
        return lambda files: module.serving_bytes(tf.constant(files))["probabilities"].numpy()

    def classify(files):
        examples = [serialize(file) for file in files]
        return module.classify(tf.constant(examples))["scores"].numpy()

    return classify


def encode(image, format="PNG", **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def pillow(pixels, mode):
    return PIL.Image.fromarray(pixels).convert(mode)


def sixteen_bits(pixels):
    """A PNG with the 8 bits of grey pixels above 8 others."""
    wide = pixels.astype(np.uint16) * 256 + 77
    return tf.io.encode_png(wide[..., None]).numpy()


RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, SHAPE).astype(np.uint8)
GREY = RNG.integers(0, 256, SHAPE[:2]).astype(np.uint8)
AS_RGB = np.repeat(GREY[..., None], 3, axis=2)
_EXIF = PIL.Image.Exif()
_EXIF[0x0112] = 6  # to be turned a quarter to the right
LYING = encode(PIL.Image.fromarray(np.rot90(COLOUR)), "JPEG", exif=_EXIF)

# name -> (file, the pixels that the network sees)
FILES = {
    "RGB": (encode(pillow(COLOUR, "RGB")), COLOUR),
    "RGBA, half transparent": (encode(pillow(np.dstack([COLOUR, GREY]), "RGBA")), COLOUR),
    "grey": (encode(pillow(GREY, "L")), AS_RGB),
    "grey with alpha": (encode(pillow(GREY, "LA")), AS_RGB),
    "16 bits": (sixteen_bits(GREY), AS_RGB),
    "one pixel": (encode(PIL.Image.new("RGB", (1, 1), (9, 200, 31))), np.full(SHAPE, (9, 200, 31))),
    "one row": (encode(PIL.Image.new("RGB", (300, 1), (9, 200, 31))), np.full(SHAPE, (9, 200, 31))),
    "palette": (encode(PIL.Image.new("RGB", (6, 8), (9, 200, 31)).quantize()), (9, 200, 31)),
    "20 megapixels": (
        encode(PIL.Image.new("RGB", (5000, 4000), (128, 128, 128)), "JPEG"),
        np.full(SHAPE, 128),
    ),
    "GIF": (encode(PIL.Image.new("RGB", (6, 8), (9, 200, 31)), "GIF"), (9, 200, 31)),
    "BMP": (encode(pillow(COLOUR, "RGB"), "BMP"), COLOUR),
    "WebP": (encode(pillow(COLOUR, "RGB"), "WEBP", lossless=True), COLOUR),
    "JPEG on its side": (LYING, np.rot90(np.array(PIL.Image.open(io.BytesIO(LYING))), -1)),
    "CMYK": (
        encode(PIL.Image.new("CMYK", (6, 8), (0, 0, 0, 0)), "JPEG"),
        (255, 255, 255),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_all_kinds_of_files_are_answered(module, ask, name):
    file, pixels = FILES[name]
    pixels = np.broadcast_to(pixels, SHAPE)[None].astype(np.uint8)
    expected = module.serving_default(tf.constant(pixels))["probabilities"]
    np.testing.assert_allclose(ask([file]), expected, atol=1e-5)


def test_all_of_them_at_once(module, ask):
    alone = np.concatenate([ask([file]) for file, _ in FILES.values()])
    np.testing.assert_allclose(ask([file for file, _ in FILES.values()]), alone, atol=1e-5)


_JPEG = encode(PIL.Image.fromarray(COLOUR), "JPEG")
BROKEN = {
    "nothing": (b"", "image 1 of the batch is empty"),
    "text": (b"this is no image", "image 1 of the batch is no JPEG, PNG, BMP, GIF or WebP image"),
    "animated WebP": (
        b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\2",
        "image 1 of the batch is a WebP image that moves",
    ),
    "40000 x 40000 pixels": (
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + 2 * b"\0\0\x9c\x40",
        "image 1 of the batch has 40000 x 40000 pixels",
    ),
    "JPEG, cut": (_JPEG[: len(_JPEG) // 2], "JPEG"),
    "JPEG, its beginning": (_JPEG[:3], "JPEG"),
    "PNG, cut": (FILES["RGB"][0][:70], "PNG"),
    "PNG, its beginning": (b"\x89PNG\r\n\x1a\n", "PNG"),
    "BMP, its beginning": (b"BM", "BMP"),
    "GIF, its beginning": (b"GIF89a", "GIF"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_image_is_an_error(ask, name):
    file, message = BROKEN[name]
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        ask([FILES["RGB"][0], file])
    text = caught.value.message.replace("] [", " ").replace("[", "").replace("]", "")
    assert re.search(message, text), text
    assert ask([FILES["RGB"][0]]).shape == (1, 3)  # the next request is answered


def test_examples_without_an_image_and_other_bytes_are_errors(module):
    empty = tf.train.Example().SerializeToString()
    for example in (empty, b"no example"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"is empty|parse"):
            module.classify(tf.constant([example]))


def test_arrays_of_another_shape_or_type_are_errors(module):
    for wrong in (np.zeros((1, 8, 8, 3), np.uint8), np.zeros(SHAPE, np.uint8)):
        with pytest.raises((TypeError, ValueError)):
            module.serving_default(tf.constant(wrong))
    with pytest.raises((TypeError, ValueError)):
        module.serving_default(tf.zeros([1, *SHAPE]))


@pytest.mark.parametrize("temperature", [1e-6, 0.3, 1.0, 7.0, 1e6])
def test_no_temperature_changes_the_class_that_is_answered(temperature):
    """Not even where two logits differ in their last bit, and their probabilities no longer do."""
    inputs = keras.Input((1, 1, 1))
    dense = keras.layers.Dense(4)
    network = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    least = np.nextafter(np.float32(3), np.float32(4))
    dense.set_weights([np.array([[0, 0.02, 0, 0]]), np.array([-50, 0, 3, least])])
    module = signatures.classifier(network, "abcd", temperature=temperature)
    answers = module.serving_default(np.array([0, 100, 250], np.uint8).reshape(3, 1, 1, 1))
    assert answers["class_ids"].numpy().tolist() == [3, 3, 1]
    assert answers["labels"].numpy().tolist() == [b"d", b"d", b"b"]
    probs = answers["probabilities"].numpy()
    assert np.all(np.take_along_axis(probs, np.array([[3], [3], [1]]), 1)[:, 0] == probs.max(1))
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_networks_trained_in_16_bits_answer_in_float32(dtype):
    exact = mpl_tf.NETWORKS["small"](3, SHAPE, seed=1)

    def narrow(layer):
        return type(layer).from_config(layer.get_config() | {"dtype": dtype})

    network = keras.models.clone_model(exact, clone_function=narrow)
    network.set_weights(exact.get_weights())
    exact.set_weights([w.astype(np.float32) for w in network.get_weights()])  # rounded alike
    images = tf.constant(COLOUR[None])
    probabilities, expected = (
        signatures.classifier(n, "abc").serving_default(images)["probabilities"]
        for n in (network, exact)
    )
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert network(COLOUR[None].astype(np.float32)).dtype != tf.float32


def test_files_are_seen_as_in_training(tmp_path):
    """Files of a folder, of odd sizes: the same pixels from `data.folder` as in `serving_bytes`."""
    for k, name in enumerate(("ant", "bee")):
        (tmp_path / "labeled" / name).mkdir(parents=True)
        for number, size in enumerate([(20, 31), (8, 8), (5, 40), (9, 7)]):
            image = np.random.default_rng(10 * k + number).integers(0, 256, (*size, 3), np.uint8)
            extension = "jpg" if number % 2 else "png"
            PIL.Image.fromarray(image).save(tmp_path / "labeled" / name / f"{number}.{extension}")
    train = data.folder(str(tmp_path), image_size=8).train
    files = [(tmp_path / name).read_bytes() for name in train.ids]
    np.testing.assert_array_equal(signatures.pixels(tf.constant(files), (8, 8, 3)), train.images)
