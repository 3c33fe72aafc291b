"""JSON Schema as another library reads it.

The rule: the library is loaded when it is first asked, for it takes time, which each process that
only collects the tests would spend.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from typing import Any


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise unless it is a valid schema of the 2020-12 dialect."""
    _dialect().check_schema(schema)


def validate(value: object, schema: Mapping[str, Any]) -> None:
    """Fail unless the schema accepts the value, and say why not."""
    faults = [error.message for error in _dialect()(schema).iter_errors(value)]
    assert not faults, faults


def is_valid(schema: Mapping[str, Any], value: object) -> bool:
    """Whether the schema accepts the value."""
    valid: bool = _dialect()(schema).is_valid(value)
    return valid


@cache
def _dialect() -> Any:
    # What checks IRIs takes two seconds to load, and no schema of ours has the format. The import
    # of a name that stands for None fails, and the library does without it.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    from jsonschema import Draft202012Validator

    return Draft202012Validator
