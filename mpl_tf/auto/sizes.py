"""How large a network with learned weights sees images: as large as the minutes allow."""

import dataclasses

import keras

from mpl_tf import console
from mpl_tf.auto import forecast, starts
from mpl_tf.auto.options import AutoConfig
from mpl_tf.auto.starts import Start
from mpl_tf.console import log
from mpl_tf.data.dataset import Form
from mpl_tf.options import ConfigError

# Sides in pixels, up to the one at which most published networks have learned. Larger images are
# worth more than any method, even those enlarged from 32 pixels (docs/results.md).
SIDES = (96, 128, 160, 192, 224)
# Of the minutes, for one pass over the images: so little that there is time, too, for the views
# that heads learn from, as long as eight passes, and for heads, worth most with few labels.
_SHARE, _LEAST_SIDE_OF_HEADS = 1 / 15, 160
# Where that would be images smaller than those, logistic regression on larger ones is better.
_SHARE_ALONE = 1 / 4


def affordable(seconds: float, budget: float, least: int = SIDES[0]) -> int:
    """The largest of `SIDES` for which there is time.

    There is time where a pass over the images takes a fifteenth of the budget at most. If that
    leaves no side of 160 pixels or more, a pass may take a quarter. Passes take as long as images
    have pixels. Where none is quick enough, the least side.

    Args:
      seconds: that a pass takes at the least side.
      budget: seconds for all that is done.
      least: side in pixels, one of `SIDES`; none smaller is taken.

    Returns:
      A side in pixels.
    """

    def largest(share: float) -> int:
        quick = (side for side in SIDES if seconds * (side / least) ** 2 <= share * budget)
        return max([least, *quick])

    of_heads = largest(_SHARE)
    return of_heads if of_heads >= _LEAST_SIDE_OF_HEADS else largest(_SHARE_ALONE)


def settle(start: Start, form: Form, options: AutoConfig, earlier: object = None) -> Start:
    """The start with the side that fits its network and the minutes, and a line that says so.

    Networks that take one size alone, and published weights that are there for some sizes, are why
    the network is built at the side before that is settled.

    Args:
      start: one whose `any_size` is true.
      form: of the images; if their number is not known, the least side is taken.
      options: the minutes, and the seed.
      earlier: the side that the search in the same folder began with, if there is one: it goes on
        with that, if it is one of `SIDES`.

    Raises:
      ConfigError: the network cannot be built at any side; the error is that of the least.
    """
    begun = [side for side in SIDES if side == earlier]
    if begun:
        return dataclasses.replace(start, image_size=begun[0])
    if not form.num_images:
        return start

    refused: dict[int, ConfigError] = {}

    def build(side: int) -> keras.Model | None:
        shape = (side, side, form.channels or 3)
        try:
            with console.silent():  # the search builds it again, and says what there is to say
                return starts.backbone(start, max(form.num_classes, 2), shape, options.seed)[0]
        except ConfigError as error:
            refused[side] = error
            return None

    least, network = next(((s, made) for s in SIDES if (made := build(s))), (0, None))
    if network is None:
        raise refused[SIDES[0]]
    seconds = form.num_images * forecast.seconds_per_image(network)
    wanted = affordable(seconds, 60 * options.minutes, least)
    larger = (side for side in reversed(SIDES) if least < side <= wanted)
    side = next(filter(build, larger), least)
    takes = console.duration(seconds * (side / least) ** 2)
    note = ""
    if side < wanted:
        note = f"; {wanted} pixels are refused: {refused[wanted]}"
    elif side < SIDES[-1]:
        note = (
            "; larger ones, which are better where the network takes them, need more minutes, or "
            f"--image_size={SIDES[-1]}"
        )
    log.info(
        f"Images are resized to {side} pixels: {form.num_images:,} of them take the network "
        f"about {takes}{note}"
    )
    return dataclasses.replace(start, image_size=side)
