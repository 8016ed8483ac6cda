"""The weak and the strong view that a configuration asks for."""

import dataclasses

from mpl_tf.augment import policies, randaugment, self_supervised
from mpl_tf.data.options import DataConfig

# Weak views of parts of an image, as large as the whole.
_PARTS = ("resized_crop", "autoaugment_imagenet")


@dataclasses.dataclass(frozen=True)
class Views:
    """The two views of a run.

    Attributes:
      weak: the weak view, and the view of labeled images.
      strong: the strong view.
    """

    weak: policies.Policy
    strong: policies.Policy


def make(options: DataConfig, image_size: int) -> Views:
    """Views by name.

    Args:
      options: names and strengths of the views.
      image_size: side of the images in pixels.
    """
    weak = _weak(options)
    if options.strong == "none":
        return Views(weak, weak)
    if options.strong in self_supervised.NAMES:
        pair = self_supervised.two_views(options.strong, image_size, options.flip)
        return Views(weak, policies.TwoViews(*pair))
    if options.strong == "affine":
        return Views(weak, policies.Affine(options.flip))
    return Views(weak, policies.Strong(weak, _distortion(options, image_size), options.cutout))


def finetuning(options: DataConfig) -> policies.Policy:
    """The weak view of finetuning.

    In parts of an image objects look larger than in whole ones, which networks are used on: where
    images have a size of their own for that, finetuning sees them whole.

    Args:
      options: names of the views.
    """
    name = options.finetune_weak
    if name == "auto":
        name = options.weak
        if options.eval_image_size and name in _PARTS:
            name = "shift"  # whose border is the smallest
    return _weak(dataclasses.replace(options, weak=name))


def _weak(options: DataConfig) -> policies.Policy:
    crop, resized = policies.Crop(options.flip), policies.ResizedCrop(options.flip)
    name, _, palette = options.weak.partition("autoaugment_")
    if palette:
        from mpl_tf.augment import autoaugment

        policy = autoaugment.AutoAugment(palette)
        return policies.InTurn(resized if palette == "imagenet" else crop, policy)
    choices: dict[str, policies.Policy] = {
        "crop": crop,
        "resized_crop": resized,
        "shift": policies.Shift(options.flip),
        "none": policies.unchanged,
    }
    return choices[name]


def _distortion(options, image_size):
    if options.strong == "autoaugment":
        from mpl_tf.augment import autoaugment

        return autoaugment.AutoAugment(options.autoaugment_policy)
    if options.strong == "keras_cv":
        import keras_cv  # slow to import

        layer = keras_cv.layers.RandAugment(
            value_range=(0, 255),
            augmentations_per_image=options.randaugment_layers,
            magnitude=min(options.randaugment_magnitude / 30, 1.0),
        )
        return policies.InColor(policies.FromLayer(layer))
    reach = {"translate": 100, "cutout": 40} if image_size >= 224 else {}
    return randaugment.RandAugment(
        options.randaugment_layers, options.randaugment_magnitude, **reach
    )
