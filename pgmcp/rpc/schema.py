"""A frozen dataclass as a JSON Schema, and JSON as an instance of that dataclass.

The rule: the schema that a client reads and the checks that its arguments meet come from the same
field, so they cannot drift; what does not fit is converted once, here and for all tools, and what
was converted meets the same checks; and an error names the path and what belongs there.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

from pgmcp.errors import ArgumentError
from pgmcp.rpc.conversion import converted

T = TypeVar("T")
MISSING = dataclasses.MISSING
_LARGE = 10**20
_SHOWN_CHARS = 40
_TYPES: Mapping[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


@dataclass(frozen=True, slots=True)
class Constraints:
    """What `arg` says about a field. Bounds are inclusive; lengths count characters.

    On an array, all but `max_items` hold for each of its items. The value of a `secret` is never
    shown in an error, and never converted. `empty_means_absent`: whether "" is as if left out,
    where there is a default.
    """

    description: str
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    max_items: int | None = None
    secret: bool = False
    empty_means_absent: bool = True


def arg(
    description: str,
    *,
    default: Any = MISSING,
    minimum: float | None = None,
    maximum: float | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    max_items: int | None = None,
    secret: bool = False,
    empty_means_absent: bool = True,
) -> Any:
    """A dataclass field that is an argument; without a `default` it is required."""
    constraints = Constraints(
        description,
        minimum,
        maximum,
        min_length,
        max_length,
        max_items,
        secret,
        empty_means_absent,
    )
    return dataclasses.field(default=default, metadata={"arg": constraints})


def json_schema(cls: type[Any]) -> dict[str, Any]:
    """The object schema (JSON Schema 2020-12) of a dataclass whose fields are all `arg`s.

    Types: str, int, float, bool, Literal, `X | None`, `tuple[X, ...]` and dataclasses like this
    one. Null is never offered: `build` takes it as absent. TypeError for any other type.
    """
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    for item in _fields(cls):
        schema["properties"][item.name] = _property(item)
    required = [item.name for item in _fields(cls) if item.default is MISSING]
    if required:
        schema["required"] = required
    schema["additionalProperties"] = False
    return schema


def build(cls: type[T], value: Any, path: str = "arguments", *, ignored: Collection[str] = ()) -> T:
    """An instance of `cls` from parsed JSON, checked against the same fields as `json_schema`.

    `5.0` is an integer, as JSON Schema has it, and `true` is none. What is not of a field's type is
    taken as `conversion.converted` reads it. For a field with a default, null, "" and 0 below a
    minimum are that default. Names that are `ignored` count as left out, unless they are fields.
    ArgumentError names the path below `path`.
    """
    if not isinstance(value, dict):
        raise ArgumentError(f"{path}: expected an object, got {_shown(value)}")
    fields = _fields(cls)
    members = dict.fromkeys(item.name for item in fields)
    for key in value:
        if key not in members and key not in ignored:
            raise ArgumentError(f"{path}: {_unknown(key, list(members))}")
    for item in fields:
        sent = value.get(item.name)
        absent = sent is None and item.default is not MISSING
        members[item.name] = item.default if absent else _member(item, sent, path)
    return cls(**members)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    type: Any
    optional: bool
    default: Any
    constraints: Constraints


def _fields(cls: Any) -> tuple[_Field, ...]:
    return _compiled(cls)


@cache
def _compiled(cls: type[Any]) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(cls)
    compiled = []
    for field in dataclasses.fields(cls):
        if "arg" not in field.metadata:
            raise TypeError(f"{cls.__qualname__}.{field.name}: declare it with arg(…)")
        kind, optional = _without_none(hints[field.name])
        compiled.append(_Field(field.name, kind, optional, field.default, field.metadata["arg"]))
    return tuple(compiled)


@cache
def _shape(kind: Any) -> Literal["object", "array", "choice", "scalar"]:
    """How a value of this type is checked. Kept: each argument of each call asks for it."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return "object"
    if typing.get_origin(kind) is Literal:
        return "choice"
    return "array" if typing.get_origin(kind) is tuple else "scalar"


def _without_none(kind: Any) -> tuple[Any, bool]:
    if typing.get_origin(kind) not in (types.UnionType, typing.Union):
        return kind, False
    rest = [member for member in typing.get_args(kind) if member is not type(None)]
    if len(rest) != 1:
        raise TypeError(f"{kind}: only X | None is supported")
    return rest[0], True


# -- the schema ------------------------------------------------------------------------------------


def _property(item: _Field) -> dict[str, Any]:
    schema = _schema(item.type, item.constraints)
    if item.constraints.description:
        schema["description"] = item.constraints.description
    if item.default is not MISSING and item.default is not None:
        schema["default"] = _plain(item.default)
    return schema


def _schema(kind: Any, constraints: Constraints) -> dict[str, Any]:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return json_schema(kind)
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        return {"type": _TYPES[type(choices[0])], "enum": list(choices)}
    if typing.get_origin(kind) is tuple:
        schema = {"type": "array", "items": _schema(_item_type(kind), constraints)}
        return schema | _bounds({"maxItems": constraints.max_items})
    if kind is str:
        return {"type": "string"} | _bounds(
            {"minLength": constraints.min_length, "maxLength": constraints.max_length}
        )
    if kind in (int, float):
        return {"type": _TYPES[kind]} | _bounds(
            {"minimum": constraints.minimum, "maximum": constraints.maximum}
        )
    if kind is bool:
        return {"type": "boolean"}
    raise TypeError(f"{kind}: not a type that an argument can have")


def _bounds(bounds: Mapping[str, float | None]) -> dict[str, float]:
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _item_type(kind: Any) -> Any:
    item, *rest = typing.get_args(kind)
    if rest != [...]:
        raise TypeError(f"{kind}: only tuple[X, ...] is supported")
    return item


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key: _plain(member) for key, member in dataclasses.asdict(value).items()}
    return [_plain(member) for member in value] if isinstance(value, tuple) else value


# -- the checks ------------------------------------------------------------------------------------


def _member(item: _Field, value: Any, path: str) -> Any:
    if value is not None:
        value = _typed(item.type, item.constraints, value)
    if value is not None and not _means_absent(item, value):
        return _value(item.type, item.constraints, value, f"{path}.{item.name}")
    if item.default is not MISSING:
        return item.default
    if item.optional:
        return None
    expected = _expected(item.type, item.constraints)
    raise ArgumentError(f"{path}.{item.name}: required, expected {expected}")


def _typed(kind: Any, constraints: Constraints, value: Any) -> Any:
    """`value` as `kind`, as far as it can be understood so; never a secret, which is exact."""
    return value if type(value) is kind or constraints.secret else converted(kind, value)


def _means_absent(item: _Field, value: Any) -> bool:
    """Whether a client that fills in every argument writes this for one that it leaves out."""
    if item.default is MISSING:
        return False
    if value == "":
        return item.constraints.empty_means_absent
    minimum = item.constraints.minimum
    return minimum is not None and minimum > 0 and type(value) in (int, float) and value == 0


def _value(kind: Any, constraints: Constraints, value: Any, path: str) -> Any:
    shape = _shape(kind)
    if shape == "object":
        return build(kind, value, path)
    if shape == "array" and isinstance(value, list):
        _check_items(len(value), constraints, path)
        item = _item_type(kind)
        return tuple(
            _value(item, constraints, _typed(item, constraints, member), f"{path}[{index}]")
            for index, member in enumerate(value)
        )
    accepted = _scalar(kind, constraints, value)
    if accepted is None:
        expected = _expected(kind, constraints)
        got = _shown(value, constraints)
        raise ArgumentError(f"{path}: expected {expected}, got {got}")
    return accepted


def _scalar(kind: Any, constraints: Constraints, value: Any) -> Any:
    """`value` as `kind`, None when it does not fit."""
    if _shape(kind) == "choice":
        choices = typing.get_args(kind)
        return next((c for c in choices if type(c) is type(value) and c == value), None)
    if kind is bool:
        return value if isinstance(value, bool) else None
    if kind is str:
        return value if isinstance(value, str) and _within_length(value, constraints) else None
    number = _number(kind, value) if kind in (int, float) else None
    return number if number is not None and _within_bounds(number, constraints) else None


def _number(kind: Any, value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        if kind is float:
            return float(value) if math.isfinite(value) else None
        return int(value) if value == int(value) else None
    except (OverflowError, ValueError):  # an integer beyond any float, infinity, not a number
        return None


def _within_length(value: str, constraints: Constraints) -> bool:
    low, high = constraints.min_length, constraints.max_length
    return (low is None or len(value) >= low) and (high is None or len(value) <= high)


def _within_bounds(value: float, constraints: Constraints) -> bool:
    low, high = constraints.minimum, constraints.maximum
    return (low is None or value >= low) and (high is None or value <= high)


def _check_items(count: int, constraints: Constraints, path: str) -> None:
    if constraints.max_items is not None and count > constraints.max_items:
        expected = f"an array of at most {constraints.max_items} items"
        raise ArgumentError(f"{path}: expected {expected}, got {count}")


# -- the words -------------------------------------------------------------------------------------


def _unknown(key: str, known: list[str]) -> str:
    """What to say of a name that is no argument, with the argument that was probably meant."""
    import difflib  # here: good calls do without it

    near = difflib.get_close_matches(key[:_SHOWN_CHARS].lower(), known, 1)
    meant = f", did you mean {near[0]}?" if near else ""
    return f"unknown argument {_shown(key)}{meant} (known: {', '.join(known) or 'none'})"


def _expected(kind: Any, constraints: Constraints) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(json.dumps(choice) for choice in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return "an array"
    if kind is bool:
        return "true or false"
    if kind is str:
        if (constraints.min_length, constraints.max_length) == (1, None):
            return "a string that is not empty"
        span = _span(constraints.min_length, constraints.max_length)
        return f"a string of {span} characters" if span else "a string"
    if kind in (int, float):
        noun = "an integer" if kind is int else "a number"
        span = _span(constraints.minimum, constraints.maximum)
        return f"{noun} {'from' if ' to ' in span else 'of'} {span}" if span else noun
    return "an object"


def _span(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is not None:
        return f"at least {low}"
    return f"at most {high}" if high is not None else ""


def _shown(value: Any, constraints: Constraints | None = None) -> str:
    """What was sent, briefly; for a secret only its type."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if constraints is not None and constraints.secret:
        return "a string" if isinstance(value, str) else "another type"
    if isinstance(value, str):
        if constraints is not None and not _within_length(value, constraints):
            return f"{len(value)} characters"
        cut = value[:_SHOWN_CHARS]
        return json.dumps(cut, ensure_ascii=False) + ("…" if len(value) > len(cut) else "")
    if isinstance(value, int) and abs(value) >= _LARGE:
        return "a very large number"
    return json.dumps(value)
