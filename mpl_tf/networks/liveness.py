"""How much memory a sequence of operations needs at once."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mpl_tf.networks.allocation import Exact, Memory


class Step(NamedTuple):
    """An operation of a sequence, for a batch of one size.

    Attributes:
      inputs: numbers of tensors that it reads.
      outputs: numbers of those that it makes, each made once in the sequence.
      bytes: of each output.
      in_place: whether an output may take the memory of an input.
      at_once: whether its inputs give up their memory as its outputs take theirs.
    """

    inputs: Sequence[int]
    outputs: Sequence[int]
    bytes: Sequence[int]
    in_place: bool = False
    at_once: bool = False


def over_time(
    steps: Sequence[Step], kept: Iterable[int] = (), memory: Memory | None = None
) -> list[int]:
    """Bytes that are held while each operation runs, one after the other.

    A tensor is held from where it is made to where it is read last; one that nobody reads, while it
    is made. An operation that works in place makes its output of an input that it is the last to
    read and that has the output's size. Tensors that the sequence does not make are not counted.

    Args:
      steps: the sequence.
      kept: tensors that are held to the end.
      memory: what holds the tensors; None is memory in which each is as large as it is.

    Returns:
      A number for each operation.
    """
    memory = memory or Exact()
    last = {number: index for index, step in enumerate(steps) for number in step.inputs}
    last |= dict.fromkeys(kept, len(steps))
    held: dict[int, tuple[int, int]] = {}  # number -> (bytes, handle)
    lives = []

    def free(numbers, before):
        for number in set(numbers):
            if number in held and last.get(number, -1) <= before:
                memory.give_back(held.pop(number)[1])

    for index, step in enumerate(steps):
        if step.at_once:
            free(step.inputs, index)
        for number, size in zip(step.outputs, step.bytes, strict=True):
            source = _replaced(step, size, held, last, index)
            held[number] = (size, memory.take(size)) if source is None else held.pop(source)
        lives.append(memory.in_use)
        free([*step.inputs, *step.outputs], index)
    return lives


def _replaced(step, size, held, last, index):
    """The input whose memory an output of a size takes; None if there is none."""
    if not step.in_place:
        return None
    fitting = (n for n in step.inputs if n in held and held[n][0] == size and last[n] == index)
    return next(fitting, None)
