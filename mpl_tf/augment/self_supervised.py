"""The two views of an image that methods of self-supervised learning compare."""

import functools

from mpl_tf.augment import jigsaw
from mpl_tf.augment.distortions import Blurred, ColorJitter, Greyed, Solarized
from mpl_tf.augment.policies import InTurn, Policy, ResizedCrop
from mpl_tf.options import ConfigError

NAMES = ("simclr_pair", "moco_v2_pair", "byol_pair", "jigsaw")
# Below this side, in pixels, images are not blurred, and SimCLR halves the strength of its colours:
# its authors' settings for CIFAR-10.
SMALL = 64


def two_views(name: str, image_size: int, flip: bool = True) -> tuple[Policy, Policy]:
    """The two views of a paper.

    All begin with a resized crop, and go on with colour jitter (with probability 0.8; strengths of
    brightness, contrast, saturation and hue), grey (0.2), blur and solarization:

        name            area      strengths             blur        solarized    source
        simclr_pair     0.08-1    0.8, 0.8, 0.8, 0.2    0.5         0            arXiv 2002.05709
        moco_v2_pair    0.2-1     0.4, 0.4, 0.4, 0.1    0.5         0            arXiv 2003.04297
        byol_pair       0.08-1    0.4, 0.4, 0.2, 0.1    1.0, 0.1    0, 0.2       arXiv 2006.07733
        jigsaw          0.2-1     as moco_v2_pair       0.5         0            arXiv 1912.01991
                        0.6-1     as moco_v2_pair       0.5         0

    Of two values, the second is that of the second view. That of "jigsaw" is a puzzle of nine
    patches, cut and shuffled last: see `jigsaw.puzzle`, and `jigsaw.patches`, which takes it apart.
    Below 64 pixels nothing is blurred, and strengths of "simclr_pair" are half as large.

    Args:
      name: one of NAMES.
      image_size: side of the images in pixels, the shorter one.
      flip: whether half of the crops are mirrored left to right.

    Returns:
      (one, other): policies for uint8 images [N, H, W, C], C 1 or 3.

    Raises:
      ConfigError: for another name, or images too small for a puzzle.

    Example:
      >>> one, other = two_views("simclr_pair", 32)
      >>> one.first.first.area, one.first.second.hue
      ((0.08, 1.0), 0.1)
    """
    if name not in NAMES:
        raise ConfigError(f"views must be one of {', '.join(NAMES)}; received {name!r}.")
    if name == "jigsaw" and image_size < jigsaw.LEAST_SIDE:
        raise ConfigError(
            f"strong=jigsaw needs images of at least {jigsaw.LEAST_SIDE} pixels a side; received "
            f"{image_size}."
        )
    blurs = image_size >= SMALL

    def view(area: float, colors: ColorJitter, blur: float, solarized: float = 0.0) -> Policy:
        parts: list[Policy] = [ResizedCrop(flip, (area, 1.0)), colors, Greyed(0.2)]
        parts += [Blurred(blur)] if blurs and blur else []
        parts += [Solarized(solarized)] if solarized else []
        return functools.reduce(InTurn, parts)

    if name == "simclr_pair":
        s = 1.0 if blurs else 0.5
        one = view(0.08, ColorJitter(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s), blur=0.5)
        return one, one
    if name == "byol_pair":
        colors = ColorJitter(0.4, 0.4, 0.2, 0.1)
        return view(0.08, colors, blur=1.0), view(0.08, colors, blur=0.1, solarized=0.2)
    colors = ColorJitter(0.4, 0.4, 0.4, 0.1)
    one = view(0.2, colors, blur=0.5)
    return one, InTurn(view(0.6, colors, blur=0.5), jigsaw.puzzle) if name == "jigsaw" else one
