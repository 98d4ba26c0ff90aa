"""Finding the entries of a table of the state by what they are about, without asking each of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Index(Generic[T]):
    """The names of a table's entries by key. Worked out when made, then told of each change; never stored.

    A key whose entries never change to another lists them in the order of the table.
    """

    def __init__(self, table: Mapping[str, T], keys_of: Callable[[T], Iterable[Hashable]]) -> None:
        self._keys_of = keys_of
        self._keys: dict[str, tuple[Hashable, ...]] = {}
        self.names: dict[Hashable, dict[str, None]] = {}
        for name, one in table.items():
            self.note(name, one)

    def of(self, key: Hashable) -> list[str]:
        return list(self.names.get(key, ()))

    def note(self, name: str, one: T) -> None:
        """The entry of that name is this one from now on."""
        before, keys = self._keys.get(name, ()), tuple(dict.fromkeys(self._keys_of(one)))
        if before == keys:
            return
        self._keys[name] = keys
        for key in before:
            if key not in keys:
                self._forget(key, name)
        for key in keys:
            self.names.setdefault(key, {})[name] = None

    def drop(self, name: str) -> None:
        """There is no such entry any more."""
        for key in self._keys.pop(name, ()):
            self._forget(key, name)

    def _forget(self, key: Hashable, name: str) -> None:
        names = self.names[key]
        del names[name]
        if not names:
            del self.names[key]
