"""JSON Schema as another library reads it.

The rule: the library is loaded when it is first asked, for it takes seconds, which each process
that only collects the tests would spend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise unless it is a valid schema of the 2020-12 dialect."""
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(schema)


def validate(value: object, schema: Mapping[str, Any]) -> None:
    """Fail unless the schema accepts the value, and say why not."""
    from jsonschema import Draft202012Validator

    faults = [error.message for error in Draft202012Validator(schema).iter_errors(value)]
    assert not faults, faults


def is_valid(schema: Mapping[str, Any], value: object) -> bool:
    """Whether the schema accepts the value."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema).is_valid(value)
