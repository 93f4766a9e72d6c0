"""Dataclasses rebuilt from JSON: every field there, none unknown, each of its annotated type."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from kmodels.errors import DataError

T = TypeVar("T")


def rebuild(cls: type[T], content: Any, *given: Any) -> T:
    """Makes a dataclass of its first fields as given and the others from a JSON object; `DataError` if they differ."""
    names = [field.name for field in fields(cls) if field.init][len(given) :]  # type: ignore[arg-type]
    if not isinstance(content, dict) or set(content) != set(names):
        raise DataError(f"not a {cls.__name__}", expected=f"the fields {', '.join(names)}", received=content)
    types = get_type_hints(cls)
    return cls(*given, **{name: _value(content[name], types[name], name) for name in names})


def _value(value: Any, kind: Any, name: str) -> Any:
    """A JSON value as a field's type: numbers finite and of 64 bits, lists as tuples."""
    if is_dataclass(kind):
        return rebuild(kind, value)  # type: ignore[arg-type]
    if isinstance(kind, UnionType):
        for each in get_args(kind):
            try:
                return _value(value, each, name)
            except DataError:
                continue
    elif get_origin(kind) is tuple and isinstance(value, list | tuple):
        return tuple(_value(each, get_args(kind)[0], name) for each in value)
    elif kind is float:
        if type(value) in (float, int) and abs(value) <= sys.float_info.max:
            return float(value)
    elif type(value) is kind and (kind is not int or -(2**63) <= value < 2**64):
        return value
    raise DataError("missing or not of the right type", column=name, expected=str(kind), received=value)


def check_ascending(values: Sequence[Any], name: str) -> None:
    """Refuses values that are not distinct, ascending and of one type, and none at all."""
    if not values or len({type(value) for value in values}) > 1 or sorted(set(values)) != list(values):
        raise DataError("values are not distinct, ascending and of one type", column=name)
