"""Copies of the tensors that a network may write into, kept from one call to the next.

A view of the caller's module has copies of all that is not a parameter, because nothing tells
beforehand what a network writes: batch normalisation changes its statistics, and code that goes
through `.data` or NumPy any tensor, without a new version number. So a copy serves again where its
bits are still those of the original, which takes less time than copying and no memory.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, UntypedStorage


class Copies:
    """The copies that one call at a time works with."""

    def __init__(self) -> None:
        self.pairs: list[tuple[UntypedStorage, UntypedStorage]] = []

    def unchanged(self) -> dict[int, Any]:
        """Return the memo that has `copy.deepcopy` use the copies that equal their originals.

        The others are let go, before there are new ones in their place.
        """
        self.pairs = [pair for pair in self.pairs if _same_bits(*pair)]
        return {id(original): own for original, own in self.pairs}

    def keep(self, memo: dict[int, Any]) -> None:
        """Keep the copies that `copy.deepcopy` made or used with this memo, and no others."""
        copied = [x for x in memo.get(id(memo), ()) if isinstance(x, Tensor)]
        originals = {id(storage): storage for x in copied for storage in _storage(x)}
        self.pairs = [(original, memo[i]) for i, original in originals.items() if i in memo]


class KeptCopies:
    """The copies of one explainer. Calls that run at the same time never share them."""

    def __init__(self) -> None:
        self._idle: list[Copies] = []

    def __reduce__(self) -> tuple[type["KeptCopies"], tuple[()]]:
        """Begin anew where the explainer is copied or pickled."""
        return KeptCopies, ()

    @contextlib.contextmanager
    def lent(self) -> Iterator[Copies]:
        """Lend the copies to one call; another one in the meantime has its own."""
        try:
            copies = self._idle.pop()
        except IndexError:
            copies = Copies()
        try:
            yield copies
        finally:
            self._idle[:] = [copies]


def _storage(tensor: Tensor) -> Iterator[UntypedStorage]:
    with contextlib.suppress(RuntimeError):  # sparse tensors and some subclasses have none
        yield tensor.untyped_storage()


def _same_bits(one: UntypedStorage, other: UntypedStorage) -> bool:
    if one.nbytes() != other.nbytes():
        return False
    whole = one.nbytes() // 8 * 8  # bytes that are compared eight at a time
    first, second = _bytes(one), _bytes(other)
    words = torch.equal(first[:whole].view(torch.int64), second[:whole].view(torch.int64))
    return words and torch.equal(first[whole:], second[whole:])


def _bytes(storage: UntypedStorage) -> Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
