"""Sizes and names of residual networks."""

from typing import Any

from mpl_tf.options import ConfigError

# Blocks of the four stages, by the number of layers with a kernel.
PAIRS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECKS = {
    14: (1, 1, 1, 1),
    26: (2, 2, 2, 2),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
REPEATS = dict(sorted((PAIRS | BOTTLENECKS).items()))
VARIANTS = ("v1.5", "v1", "senet")

PATTERN = (
    r"(?P<excited>se_)?(?P<family>resnet|resnext|senet)_(?P<depth>\d+)"
    r"(_(?P<groups>\d+)x(?P<group_width>\d+)d)?(x(?P<width>\d+(\.\d+)?))?(?P<original>_v1)?"
)
_NAMES = ("resnet_18", "resnet_34", "resnet_50", "resnet_101", "resnet_152", "resnet_50x2")
_NEXT = (
    "resnext_50_32x4d",
    "resnext_101_64x4d",
    *(f"resnext_101_32x{w}d" for w in (8, 16, 32, 48)),
)
NAMES = (*_NAMES, "resnet_152_v1", *_NEXT, "se_resnet_50", "se_resnext_50_32x4d", "senet_154")


def base_channels(width: float) -> int:
    """Channels of the first stage of a network whose channels are multiplied by `width`."""
    return round(64 * width)


def inner_channels(channels: int, groups: int, group_width: int) -> int:
    """Channels of the 3x3 convolution of a bottleneck.

    Args:
      channels: a quarter of those that the block gives.
      groups: of the convolution.
      group_width: channels of a group where `channels` is 64.
    """
    return channels * group_width // 64 * groups


def check(depth: int, width: float, groups: int, group_width: int, variant: str) -> None:
    """Raises ConfigError unless there is such a network."""
    if depth not in REPEATS:
        raise ConfigError(
            f"depth of a ResNet must be one of {_listed(REPEATS)}; received {depth}. "
            "resnet_14 and resnet_50x0.25 are small ones."
        )
    if variant not in VARIANTS:
        raise ConfigError(f"variant must be one of {', '.join(VARIANTS)}; received {variant!r}.")
    if depth in PAIRS and (groups > 1 or group_width != 64 or variant != "v1.5"):
        raise ConfigError(
            f"a ResNet of {depth} layers has blocks of two 3x3 convolutions, which have no groups "
            f"and no other place for the stride; blocks with a 1x1 before and after are those of "
            f"{_listed(BOTTLENECKS)} layers."
        )
    channels = base_channels(width) if 0 < width <= 64 else 0
    if groups < 1 or channels < 1 or channels * group_width < 64:
        raise ConfigError(
            "a ResNet needs at least one group, one channel in the first stage (64 times its "
            "width, which is at most 64) and one in a group there (its group width times its "
            f"width); received width={width:g}, groups={groups}, group_width={group_width}."
        )
    if variant == "senet" and channels * group_width // 64 % 2:
        raise ConfigError(
            "groups of a SENet are an even number of channels wide (4 times its width in the first "
            f"stage): the 1x1 convolution before has half of them; received width={width:g}."
        )


def parse(
    family: str,
    depth: str,
    excited: str = "",
    groups: str = "",
    group_width: str = "",
    width: str = "1",
    original: str = "",
) -> dict[str, Any]:
    """What the parts of a name, by the groups of PATTERN, say to the builder.

    Raises:
      ConfigError: there is no such network.
    """
    name = f"{excited}{family}_{depth}"
    made: dict[str, Any] = {"depth": int(depth), "width": float(width)}
    if (family == "resnext") != bool(groups):
        example = "resnext_50_32x4d, of 32 groups that are 4 channels wide in the first stage"
        raise ConfigError(f"resnext names its groups, and no other does: {example}; see {name}.")
    if original and (family != "resnet" or int(depth) in PAIRS):
        raise ConfigError(
            "_v1, the stride in the first 1x1 convolution of a block, is for resnet_ of "
            f"{_listed(BOTTLENECKS)} layers; received {name}_v1."
        )
    if family == "senet":
        if excited or int(depth) - 2 not in BOTTLENECKS:
            depths = _listed(depth + 2 for depth in BOTTLENECKS)
            raise ConfigError(f"senet_DEPTH has one of {depths} layers; received {name}.")
        made |= {"depth": int(depth) - 2, "groups": 64, "group_width": 4, "variant": "senet"}
        made |= {"dropout": 0.2}
    if groups:
        made |= {"groups": int(groups), "group_width": int(group_width)}
    if original:
        made |= {"variant": "v1"}
    if excited or family == "senet":
        made |= {"excitation": True}
    groups_of = made.get("groups", 1), made.get("group_width", 64)
    check(made["depth"], made["width"], *groups_of, made.get("variant", "v1.5"))
    return made


def _listed(numbers: Any) -> str:
    return ", ".join(map(str, numbers))
