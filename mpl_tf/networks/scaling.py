"""How networks scale images with values 0 to 255, as layers that can be cloned and exported."""

import keras
import numpy as np
from keras import layers

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])  # of red, green, blue in [0, 1]
IMAGENET_STD = np.array([0.229, 0.224, 0.225])


def to_one(images: keras.KerasTensor) -> keras.KerasTensor:
    """[N, H, W, C] with values 0 to 255 -> the same with values -1 to 1."""
    return layers.Rescaling(1 / 127.5, offset=-1)(images)


def of_imagenet(images: keras.KerasTensor) -> keras.KerasTensor:
    """(x / 255 - mean) / deviation, with those of ImageNet's training images.

    Args:
      images: [N, H, W, C] with values 0 to 255. Of 3 channels each has its own mean and deviation;
        of another number all have the averages of the three.
    """
    mean, deviation = IMAGENET_MEAN, IMAGENET_STD
    if images.shape[-1] != len(mean):
        mean, deviation = mean.mean(keepdims=True), deviation.mean(keepdims=True)
    scale, offset = 1 / (255 * deviation), -mean / deviation
    return layers.Rescaling(scale.tolist(), offset=offset.tolist())(images)
