"""NASNet-A, PNASNet-5 and AmoebaNet-A, B, C, D: networks of cells, by cells a group and filters."""

from typing import Any, NamedTuple

import keras
from keras import layers

from mpl_tf.networks import heads, parts, scaling, stems
from mpl_tf.networks.architecture import Architecture
from mpl_tf.networks.cell_operations import Operations
from mpl_tf.networks.cell_specs import FAMILIES, SIZES, Cell, Family
from mpl_tf.networks.initializers import layer_seeds
from mpl_tf.networks.layers import drop_path as dropped
from mpl_tf.options import ConfigError

_LEAST_FILTERS = 8  # F/4 of the first stem cell still has two halves
_MOST_CELLS = 100


def check(repeats: int, filters: int) -> None:
    """Raises ConfigError unless a group has 1 to 100 cells, and F is at least 8."""
    if not 1 <= repeats <= _MOST_CELLS:
        raise ConfigError(
            "a network of cells needs at least 1 cell in each of its groups and at most "
            f"{_MOST_CELLS}; received {repeats}."
        )
    if filters < _LEAST_FILTERS:
        raise ConfigError(
            f"a network of cells needs at least {_LEAST_FILTERS} filters; received {filters}."
        )


def build(
    num_classes: int,
    input_shape: tuple[int, ...],
    seed: int = 0,
    family: str = "nasnet_a",
    repeats: int = 6,
    filters: int = 168,
    dropout: float = 0.5,
    synchronized: bool = False,
    head: str = "linear",
    head_temperature: float = 1.0,
    stem: str = "auto",
    drop_path: float | None = None,
) -> keras.Model:
    """A network of two parts: cells in three groups, and a head.

    A cell takes the two outputs before it, c and the older p, brings both to its number of
    channels, and adds and concatenates as its specification says:

        states = [batch_norm(conv1x1(relu(c))), match(p)]
        states += [left(states[i]) + right(states[j])  for left, i, right, j in additions]
        output = concatenate(states[k] for k in concatenated)

    Each group has `repeats` normal cells. The second and the third have twice as many channels and
    half the size of the group before: a reduction cell makes them, whose operations on the first
    two states have stride 2; PNASNet-5 has its one cell with stride 2 in place of the group's first
    one. Average pooling over the places of the last output, after a ReLU, gives the features.

    The stem for large images is a 3x3 convolution with stride 2 and no padding, and two reduction
    cells of F/4 and F/2 channels. For small ones it is a 3x3 convolution to 3F channels.

    In training, each branch that is no identity is dropped for a whole image (`layers.drop_path`)
    at a rate that grows with depth, `drop_path * (i + 1) / n` in cell i of n.

    Trainable parameters, with the large stem:

        nasnet_a_large     NASNet-A (6 @ 4032)     88,753,150 with 1,000 classes
        nasnet_a_mobile    NASNet-A (4 @ 1056)      5,289,978 with 1,000 classes
        pnasnet_5_large    PNASNet-5 (4, 216)      86,057,668 with 1,000 classes
        amoebanet_a        AmoebaNet-A (6, 190)    86,721,806 with 1,001 classes
        amoebanet_b        AmoebaNet-B (18, 512)  557,286,057 with 1,001 classes, that of GPipe
        amoebanet_c        AmoebaNet-C (6, 228)   155,277,171 with 1,001 classes
        amoebanet_d        AmoebaNet-D (18, 208)

    NASNet's paper writes cells a group and the channels of the last output, 24 F; PNASNet's and
    AmoebaNet's write cells a group and F; GPipe's writes the cells of all groups and F.

    Args:
      num_classes: number of classes K.
      input_shape: (height, width, channels) of the images; with the large stem, at least 3 pixels.
      seed: of the initial weights, the dropout masks and the branches that are dropped.
      family: one of `FAMILIES`.
      repeats: normal cells a group, at least 1.
      filters: channels F of the first group, at least 8.
      dropout: in [0, 1), dropout before the head's last layer.
      synchronized: whether batch statistics are taken over all replicas.
      head: one of `heads.FORMS`.
      head_temperature: greater than 0, what the head divides logits by.
      stem: one of `stems.STEMS`.
      drop_path: in [0, 1), the rate in the last cell; None: the family's.

    Returns:
      keras.Model, images [N, H, W, C] with values 0 to 255 -> logits [N, K]; see `parts`.

    Raises:
      ConfigError: a number is not allowed, or the images are too small.

    Source: the papers that `cell_specs` names, and the code that they published (tensorflow/models,
    tensorflow/tpu). Left out are the auxiliary heads, which are a device of training, and the
    growth of drop path over the steps. Batch normalisation has decay 0.99, as all networks here,
    in place of 0.9997, which needs tens of thousands of steps. AmoebaNet's code drops paths at the
    same rate in all cells, and does not dilate the convolution that it calls dilated.
    """
    check(repeats, filters)
    spec, large = FAMILIES[family], not stems.is_small(stem, input_shape)
    if large:
        stems.check_sides("a network of cells with the large stem", 3, input_shape)
    seeds = layer_seeds(seed)
    operations = Operations(seeds, synchronized)
    plan = _plan(spec, repeats, filters, large)
    most = spec.drop_path if drop_path is None else drop_path

    inputs = keras.Input(input_shape)
    x = scaling.to_one(inputs)
    if large:
        x = operations.convolve(x, spec.stem, 3, 2, "valid", activate=False)
    else:
        x = operations.convolve(x, 3 * filters, 3, activate=False)
    previous = None
    for index, step in enumerate(plan):
        rate = most * (index + 1) / len(plan)

        def branch(operation, state, stride, filters=step.filters, rate=rate):
            state = operations.apply(operation, state, filters, stride)
            if operation == "identity" or not rate:
                return state
            return dropped(rate, next(seeds))(state)

        output = _cell(operations, branch, step, x, previous)
        previous, x = previous if step.is_skipped else x, output
    features = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    backbone = keras.Model(inputs, features, name=parts.BACKBONE)
    made = heads.draw(
        num_classes, features.shape[-1], seeds, dropout, head, head_temperature, synchronized
    )
    return parts.join(backbone, made, name=f"{family}_{repeats}_{filters}")


class _Step(NamedTuple):
    """A cell of a network: what it computes, its channels, and the stride of its first states."""

    cell: Cell
    filters: int
    stride: int = 1
    is_skipped: bool = False  # its input is nobody's state 1


def _plan(family: Family, repeats: int, filters: int, large: bool) -> list[_Step]:
    reduction = family.reduction or family.normal
    plan = [_Step(reduction, filters // part, 2) for part in (4, 2)] if large else []
    for group in range(3):
        width = filters * 2**group
        cells = [_Step(family.normal, width)] * repeats
        if group and family.reduction:
            plan.append(_Step(reduction, width, 2, is_skipped=family.skips and large))
        elif group:
            cells[0] = _Step(reduction, width, 2)
        plan += cells
    return plan


def _cell(operations, branch, step, current, previous):
    """The output of one cell; `previous` is None for a network's first."""
    states = [operations.convolve(current, step.filters)]
    if previous is None:
        states.append(current)
    else:
        states.append(operations.match(previous, current, step.filters))
    for left, i, right, j in step.cell.additions:
        strides = [step.stride if state < 2 else 1 for state in (i, j)]
        summands = branch(left, states[i], strides[0]), branch(right, states[j], strides[1])
        states.append(layers.Add()(summands))
    kept = [states[k] for k in step.cell.concatenated]
    return layers.Concatenate()(
        [operations.match(state, states[-1], step.filters, activate=False) for state in kept]
    )


def _parse(
    name: str = "", family: str = "", repeats: str = "", filters: str = ""
) -> dict[str, Any]:
    if name:
        family, *numbers = SIZES[name]
    else:
        numbers = [int(repeats), int(filters)]
        check(*numbers)
    return {"family": family, "repeats": numbers[0], "filters": numbers[1]}


ARCHITECTURE = Architecture(
    build,
    rf"(?P<name>{'|'.join(SIZES)})"
    rf"|(?P<family>{'|'.join(FAMILIES)})_(?P<repeats>\d{{1,4}})_(?P<filters>\d{{1,5}})",
    tuple(f"{cell}_REPEATS_FILTERS" for cell in ("nasnet_a", "pnasnet_5", "amoebanet_a")),
    "networks of cells, such as nasnet_a_mobile, amoebanet_d or nasnet_a_2_16",
    _parse,
    two_parts=True,
    takes_stem=True,
    names=tuple(SIZES),
)
