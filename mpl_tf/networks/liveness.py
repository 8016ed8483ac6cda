"""How much memory a sequence of operations needs at once."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


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


def over_time(steps: Sequence[Step], kept: Iterable[int] = ()) -> list[int]:
    """Bytes that are held while each operation runs, one after the other.

    A tensor is held from where it is made to where it is read last; one that nobody reads, while it
    is made. An operation that works in place makes its output of an input that it is the last to
    read and that has the output's size. Tensors that the sequence does not make are not counted.

    Args:
      steps: the sequence.
      kept: tensors that are held to the end.

    Returns:
      A number for each operation.
    """
    last = {number: index for index, step in enumerate(steps) for number in step.inputs}
    last |= dict.fromkeys(kept, len(steps))
    held: dict[int, int] = {}
    live, lives = 0, []
    for index, step in enumerate(steps):
        if step.at_once:
            live -= _free(held, step.inputs, last, index)
        for number, size in zip(step.outputs, step.bytes, strict=True):
            if step.in_place:
                for source in step.inputs:
                    if held.get(source) == size and last[source] == index:
                        live -= held.pop(source)
                        break
            held[number] = size
            live += size
        lives.append(live)
        live -= _free(held, step.inputs, last, index)
        for number in step.outputs:
            if last.get(number, -1) <= index:
                live -= held.pop(number, 0)  # freed before, where it is read as well
    return lives


def _free(held, numbers, last, index):
    return sum(
        held.pop(number) for number in set(numbers) if number in held and last[number] == index
    )
