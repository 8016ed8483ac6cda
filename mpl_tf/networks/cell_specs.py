"""The cells of NASNet, PNASNet and AmoebaNet, as data, and the sizes of the papers.

Zoph et al. 2018, "Learning Transferable Architectures for Scalable Image Recognition" (NASNet-A);
Liu et al. 2018, "Progressive Neural Architecture Search" (PNASNet-5); Real et al. 2019,
"Regularized Evolution for Image Classifier Architecture Search" (AmoebaNet-A, B, C); AmoebaNet-D
and the concatenations are those of the code that the last ones published.
"""

import dataclasses

# operation, state, operation, state
Addition = tuple[str, int, str, int]


@dataclasses.dataclass(frozen=True)
class Cell:
    """What a cell computes of its two first states, which have F channels.

    State 0 comes from the output before the cell, state 1 from the one before that. An addition of
    `(left, i, right, j)` makes the next state,

        states.append(left(states[i]) + right(states[j]))

    and the cell's output is the concatenation of some states. Operations:

        identity
        avg, max, max2                  pooling over 3x3, 3x3, and 2x2 pixels
        sep3, sep5, sep7, sep5_dilated  twice ReLU, separable convolution, batch normalisation
        conv1                           ReLU, 1x1 convolution, batch normalisation
        conv3, conv7                    3x3, or 1x7 and 7x1, between 1x1 to and from F/4 channels

    Attributes:
      additions: five.
      concatenated: indices of states.
    """

    additions: tuple[Addition, ...]
    concatenated: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Family:
    """Cells, and how they are stacked for large images.

    Attributes:
      normal: the cell that keeps the size of its images.
      reduction: the one that halves it and comes before a group; None where a group's first normal
        cell halves it.
      stem: channels of the first convolution.
      drop_path: in [0, 1), the rate with which a branch of the last cell is dropped.
      skips: whether the cell behind a reduction takes as its state 1 what the reduction took as
        its own, in place of the reduction's input.
    """

    normal: Cell
    reduction: Cell | None
    stem: int
    drop_path: float
    skips: bool = False


_NASNET_A = (
    Cell(
        (
            ("sep5", 0, "sep3", 1),
            ("sep5", 1, "sep3", 1),
            ("avg", 0, "identity", 1),
            ("avg", 1, "avg", 1),
            ("sep3", 0, "identity", 0),
        ),
        (1, 2, 3, 4, 5, 6),
    ),
    Cell(
        (
            ("sep5", 0, "sep7", 1),
            ("max", 0, "sep7", 1),
            ("avg", 0, "sep5", 1),
            ("identity", 3, "avg", 2),
            ("sep3", 2, "max", 0),
        ),
        (3, 4, 5, 6),
    ),
)
_PNASNET_5 = Cell(
    (
        ("sep5", 1, "max", 1),
        ("sep7", 0, "max", 0),
        ("sep5", 0, "sep3", 0),
        ("sep3", 4, "max", 0),
        ("sep3", 1, "identity", 0),
    ),
    (2, 3, 4, 5, 6),
)
_AMOEBANET_A = (
    Cell(
        (
            ("avg", 0, "max", 0),
            ("sep3", 1, "identity", 1),
            ("identity", 0, "avg", 1),
            ("sep3", 0, "sep5", 2),
            ("avg", 5, "sep3", 0),
        ),
        (1, 3, 4, 6),
    ),
    Cell(
        (
            ("sep3", 1, "avg", 0),
            ("max", 0, "sep7", 2),
            ("max", 1, "max", 0),
            ("sep3", 4, "conv7", 0),
            ("avg", 1, "sep7", 0),
        ),
        (2, 3, 4, 5, 6),
    ),
)
_AMOEBANET_B = (
    Cell(
        (
            ("conv1", 1, "max", 1),
            ("identity", 1, "sep3", 0),
            ("conv1", 1, "sep3", 0),
            ("conv1", 2, "identity", 2),
            ("avg", 1, "conv1", 5),
        ),
        (0, 3, 4, 6),
    ),
    Cell(
        (
            ("max2", 0, "max", 0),
            ("identity", 2, "conv3", 1),
            ("sep5_dilated", 2, "max", 2),
            ("identity", 3, "sep3", 1),
            ("avg", 4, "conv1", 3),
        ),
        (5, 6),
    ),
)
_AMOEBANET_C = (
    Cell(
        (
            ("avg", 0, "sep3", 0),
            ("identity", 0, "sep3", 0),
            ("avg", 2, "sep3", 1),
            ("identity", 0, "sep3", 1),
            ("avg", 3, "sep3", 0),
        ),
        (1, 2, 4, 5, 6),
    ),
    Cell(
        (
            ("max", 0, "max", 0),
            ("sep7", 2, "sep3", 0),
            ("sep7", 0, "max", 1),
            ("sep5", 4, "sep5", 4),
            ("max", 1, "sep3", 1),
        ),
        (0, 2, 3, 4, 5, 6),
    ),
)
_AMOEBANET_D = (
    Cell(
        (
            ("conv1", 1, "max", 1),
            ("identity", 1, "conv7", 0),
            ("conv1", 0, "conv7", 0),
            ("max", 2, "identity", 2),
            ("avg", 1, "conv1", 5),
        ),
        (0, 3, 4, 6),
    ),
    Cell(
        (
            ("max2", 0, "max", 0),
            ("identity", 2, "conv3", 1),
            ("conv7", 2, "max", 2),
            ("identity", 3, "max2", 1),
            ("avg", 2, "conv1", 3),
        ),
        (4, 5, 6),
    ),
)

FAMILIES = {
    "nasnet_a": Family(*_NASNET_A, stem=96, drop_path=0.3, skips=True),
    "nasnet_a_mobile": Family(*_NASNET_A, stem=32, drop_path=0.0),
    "pnasnet_5": Family(_PNASNET_5, None, stem=96, drop_path=0.4),
    "amoebanet_a": Family(*_AMOEBANET_A, stem=32, drop_path=0.3),
    "amoebanet_b": Family(*_AMOEBANET_B, stem=32, drop_path=0.3),
    "amoebanet_c": Family(*_AMOEBANET_C, stem=32, drop_path=0.3),
    "amoebanet_d": Family(*_AMOEBANET_D, stem=32, drop_path=0.3),
}

# Name: family, normal cells in each of the three groups, and channels F of the first group.
SIZES = {
    "nasnet_a_large": ("nasnet_a", 6, 168),
    "nasnet_a_mobile": ("nasnet_a_mobile", 4, 44),
    "pnasnet_5_large": ("pnasnet_5", 4, 216),
    "amoebanet_a": ("amoebanet_a", 6, 190),
    "amoebanet_b": ("amoebanet_b", 6, 512),
    "amoebanet_c": ("amoebanet_c", 6, 228),
    "amoebanet_d": ("amoebanet_d", 6, 208),
}
