"""Objects with locks or threads, which a forked process must not use as it finds them."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Self
from weakref import WeakSet


class PerProcess:
    """Base of objects whose method `_renew` makes what belongs to one process alone, such as locks and threads.

    It is called in a child after a fork, where threads of the parent are gone and locks may be held by them, and when a
    copy is unpickled.
    """

    _alive: ClassVar[WeakSet[PerProcess]] = WeakSet()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        PerProcess._alive.add(self)
        return self

    def _renew(self) -> None:
        raise NotImplementedError


def _renew_all() -> None:
    for each in list(PerProcess._alive):
        each._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
