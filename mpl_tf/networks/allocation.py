"""What TensorFlow's allocator counts as in use: tensors in the pieces that it hands out."""

import bisect
import itertools
from typing import Protocol

_UNIT = 256  # bytes; pieces are multiples of it
_FIRST_REGION = 2**23  # those before are full of what the process holds anyway
_LARGE_RESIDUE = 2**27


class Memory(Protocol):
    """Where tensors are held.

    Attributes:
      in_use: bytes.
    """

    in_use: int

    def take(self, size: int) -> int:
        """Gives the handle of a piece of at least `size` bytes."""

    def give_back(self, handle: int) -> None:
        """Frees a piece."""


class Exact:
    """Memory in which a tensor is as large as it is."""

    def __init__(self) -> None:
        self.in_use = 0

    def take(self, size: int) -> int:
        self.in_use += size
        return size  # a handle that says all

    def give_back(self, handle: int) -> None:
        self.in_use -= handle


class _Piece:
    """Consecutive bytes of a region; the pieces of a region are a list in both directions."""

    def __init__(self, size: int, before: "_Piece | None" = None, after: "_Piece | None" = None):
        self.size, self.before, self.after = size, before, after
        self.handle = 0


class Pieces:
    """Memory of TensorFlow's allocator for CPUs (with oneDNN) and GPUs, "best fit with coalescing".

    A tensor has the smallest free piece that is large enough. The piece is cut to size only if at
    least half of it is left, or 128 MiB; so it has up to twice the tensor's size, and all of it
    counts as in use. Free neighbours are joined. Where no piece is large enough, a region is taken
    of the system, twice as large as the one before.
    """

    def __init__(self) -> None:
        self.in_use = 0
        self._region = _FIRST_REGION
        self._free: list[tuple[int, int]] = []  # (size, handle), ascending
        self._pieces: dict[int, _Piece] = {}  # handle -> piece, the free ones
        self._used: dict[int, _Piece] = {}
        self._handles = itertools.count()

    def take(self, size: int) -> int:
        size = max(1, -(-size // _UNIT)) * _UNIT
        place = bisect.bisect_left(self._free, (size, -1))
        if place == len(self._free):
            self._extend(size)
            place = bisect.bisect_left(self._free, (size, -1))
        _, handle = self._free.pop(place)
        piece = self._pieces.pop(handle)
        if piece.size >= 2 * size or piece.size - size >= _LARGE_RESIDUE:
            left = _Piece(piece.size - size, piece, piece.after)
            if piece.after is not None:
                piece.after.before = left
            piece.size, piece.after = size, left
            self._release(left)
        self._used[handle] = piece
        self.in_use += piece.size
        return handle

    def give_back(self, handle: int) -> None:
        piece = self._used.pop(handle)
        self.in_use -= piece.size
        for other in (piece.before, piece.after):
            if other is not None and self._pieces.get(other.handle) is other:
                self._join(piece, other)
        self._release(piece)

    def _extend(self, size: int) -> None:
        grown = self._region < size
        while self._region < size:
            self._region *= 2
        self._release(_Piece(self._region))
        if not grown:
            self._region *= 2

    def _release(self, piece: _Piece) -> None:
        piece.handle = next(self._handles)
        self._pieces[piece.handle] = piece
        bisect.insort(self._free, (piece.size, piece.handle))

    def _join(self, piece: _Piece, other: _Piece) -> None:
        """Has a piece hold a free neighbour, too."""
        del self._pieces[other.handle]
        self._free.pop(bisect.bisect_left(self._free, (other.size, other.handle)))
        piece.size += other.size
        if other is piece.before:
            piece.before = other.before
            if other.before is not None:
                other.before.after = piece
        else:
            piece.after = other.after
            if other.after is not None:
                other.after.before = piece
