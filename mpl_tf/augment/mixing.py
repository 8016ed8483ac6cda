"""MixUp and CutMix, by keras_cv."""

import numbers

import tensorflow as tf

from mpl_tf.options import ConfigError

KINDS = ("mixup", "cutmix")


def mix(kind, images, targets, alpha=None):
    """Mixes every image and its target with those of a random image of the batch.

    MixUp (Zhang et al. 2018): `l * x + (1 - l) * x'` of images and targets. CutMix (Yun et al.
    2019): a rectangle of x with a share `1 - l` of its area is taken from x', and targets are mixed
    as in MixUp. l is drawn for every image from Beta(alpha, alpha).

    What keras_cv 0.9 does beyond that:

    - Its layers' `seed` does not determine their results, so none is offered. Only
      `tf.random.set_seed`, before the function that mixes is traced or its dataset is made, repeats
      a whole run of draws; there is no way to start in the middle of one. What is mixed therefore
      is no function of (seed, step), and a resumed run mixes differently.
    - Neither compiles with XLA (`jit_compile`).
    - CutMix centres the rectangle anywhere in the image, cuts it off at the border, and still
      mixes targets by the area before the cut: x weighs more in the picture than in its target.

    Args:
      kind: "mixup" or "cutmix".
      images: [N, H, W, C] of any dtype, values 0 to 255.
      targets: floating [N, K], probabilities of the classes.
      alpha: float above 0; None is 0.2 for MixUp and 1 for CutMix.

    Returns:
      float32 images [N, H, W, C] and float32 targets [N, K].

    Raises:
      ConfigError: for an unknown kind, an alpha out of range, or targets of another dtype or shape.
    """
    if kind not in KINDS:
        raise ConfigError(f"kind must be one of {', '.join(KINDS)}; received {kind!r}.")
    if alpha is not None and not (isinstance(alpha, numbers.Real) and alpha > 0):
        raise ConfigError(f"alpha must be a number greater than 0; received {alpha!r}.")
    targets = tf.convert_to_tensor(targets)
    if not targets.dtype.is_floating or targets.shape.rank != 2:
        raise ConfigError(
            "targets must be floating and of shape [N, K], such as one-hot labels; received "
            f"{targets.dtype.name} of shape {targets.shape}."
        )
    from keras_cv import layers  # slow to import

    mixer = {"mixup": layers.MixUp, "cutmix": layers.CutMix}[kind]
    options = {} if alpha is None else {"alpha": float(alpha)}
    batch = {"images": tf.cast(images, tf.float32), "labels": tf.cast(targets, tf.float32)}
    mixed = mixer(dtype="float32", **options)(batch)
    return mixed["images"], mixed["labels"]
