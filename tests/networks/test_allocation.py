"""Pieces of memory, by hand."""

import numpy as np

from mpl_tf.networks.allocation import Pieces

MIB = 2**20


def test_a_piece_is_cut_where_half_of_it_is_left():
    memory = Pieces()
    memory.give_back(memory.take(8 * MIB))
    handles = [memory.take(size) for size in (3 * MIB, 3 * MIB, 1)]
    # 8 is cut into 3 and 5; 5 is less than twice 3; for a byte there is a region of 16, and 256.
    assert memory.in_use == 8 * MIB + 256
    memory.give_back(handles[1])
    assert memory.in_use == 3 * MIB + 256
    assert memory.take(2 * MIB) is not None and memory.in_use == 5 * MIB + 256  # the 5, cut
    memory.give_back(handles[0])
    assert memory.in_use == 2 * MIB + 256


def test_of_free_pieces_the_smallest_is_taken_and_neighbours_are_joined():
    memory = Pieces()
    first, _, third, _ = (memory.take(size * MIB) for size in (1, 1, 3, 3))
    memory.give_back(third)
    memory.give_back(first)
    memory.take(1 * MIB)
    memory.take(3 * MIB)
    assert memory.in_use == 8 * MIB  # where they were
    memory = Pieces()
    parts = [memory.take(2 * MIB) for _ in range(4)]
    for part in parts:
        memory.give_back(part)
    memory.take(8 * MIB)
    assert memory.in_use == 8 * MIB and len(memory._free) == 0


def test_nothing_is_lost():
    memory, rng = Pieces(), np.random.default_rng(1)
    held = []
    for _ in range(300):
        if held and rng.random() < 0.5:
            memory.give_back(held.pop(rng.integers(len(held))))
        else:
            held.append(memory.take(int(rng.integers(1, 5 * MIB))))
    for handle in held:
        memory.give_back(handle)
    assert memory.in_use == 0
    sizes = sorted(size for size, _ in memory._free)
    assert all(size % (8 * MIB) == 0 for size in sizes)  # whole regions again
