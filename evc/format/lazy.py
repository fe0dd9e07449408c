"""What is computed when it is first asked for, and then kept: all threads get the same object."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")


def once(function: Callable[[], T]) -> Callable[[], T]:
    """As `functools.cache`, which threads that call it at the same time may get several objects from: one that kernels
    have pointers into must not be dropped."""
    made: dict[None, T] = {}

    @wraps(function)
    def kept() -> T:
        return made[None] if made else made.setdefault(None, function())

    return kept


if TYPE_CHECKING:
    from functools import cached_property as cached_property
else:

    class cached_property:
        """That of functools as it is from Python 3.12 on. Before, it holds a lock while it computes, one for all
        objects, which a fork may leave locked."""

        def __init__(self, function):
            self._function = function
            self.__doc__ = function.__doc__

        def __set_name__(self, owner, name):
            self._name = name

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            return instance.__dict__.setdefault(self._name, self._function(instance))
