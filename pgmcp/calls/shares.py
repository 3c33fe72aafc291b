"""Fair shares: who may have one more of what is short, and whose turn is next.

The rule: an owner (a token, a user, an address) never holds all of it. It may take one more while
no more than it holds already is free: a lone owner gets half, n owners get 1/(n+1) each, and what
is left is for the next to come (the dynamic threshold of Choudhury and Hahne, 1998). Values only:
whoever shares these objects between threads has a lock for them.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Places:
    """`size` places, of which an owner holds no more than its share, and never above `most`.

    `size` may be changed at any time; `taken` is how many are held.
    """

    def __init__(self, size: int, most: int | None = None) -> None:
        self.size = size
        self.most = most
        self.taken = 0
        self._held: dict[str, int] = {}

    def held(self, owner: str) -> int:
        """How many places this owner holds."""
        return self._held.get(owner, 0)

    def may_take(self, owner: str) -> bool:
        """Whether the owner may take one more."""
        held, free = self._held.get(owner, 0), self.size - self.taken
        return 0 < free >= held and (self.most is None or held < self.most)

    def take(self, owner: str) -> None:
        """Have the owner hold one more."""
        self._held[owner] = self._held.get(owner, 0) + 1
        self.taken += 1

    def try_take(self, owner: str) -> bool:
        """Take a place if the owner may; whether it did."""
        if not self.may_take(owner):
            return False
        self.take(owner)
        return True

    def give_back(self, owner: str) -> int:
        """Have the owner hold one less; how many it holds then."""
        left = self._held[owner] - 1
        if left:
            self._held[owner] = left
        else:
            del self._held[owner]
        self.taken -= 1
        return left


class FairQueue(Generic[K, T]):
    """Items that wait, by owner: the owners take turns, and of one owner the first comes first."""

    def __init__(self) -> None:
        self._lines: OrderedDict[K, deque[T]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def waiting(self, owner: K) -> int:
        """How many items of this owner wait."""
        return len(self._lines.get(owner, ()))

    def put(self, owner: K, item: T) -> None:
        """Have `item` wait, behind the others of its owner."""
        line = self._lines.get(owner)
        if line is None:
            line = self._lines[owner] = deque()
        line.append(item)
        self._count += 1

    def pop(self, may: Callable[[K], bool] | None = None) -> T | None:
        """The next item of the first owner in turn that `may` have one; None when there is none."""
        for owner, line in self._lines.items():
            if may is None or may(owner):
                item = line.popleft()
                self._count -= 1
                if line:
                    self._lines.move_to_end(owner)
                else:
                    del self._lines[owner]
                return item
        return None

    def remove(self, owner: K, item: T) -> bool:
        """Take out an item that still waits; whether it did."""
        line = self._lines.get(owner)
        if line is None or item not in line:
            return False
        line.remove(item)
        self._count -= 1
        if not line:
            del self._lines[owner]
        return True

    def items(self) -> list[T]:
        """All that wait."""
        return [item for line in self._lines.values() for item in line]
