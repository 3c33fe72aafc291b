"""pgmcp.rpc.schema: the schema a client reads and the checks its arguments meet agree."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgmcp.errors import ArgumentError, ToolError
from pgmcp.mcp.result import plain
from pgmcp.rpc.schema import arg, build, json_schema
from tests.json_schema import check_schema, is_valid


@dataclass(frozen=True)
class Filter:
    column: str = arg("A column.")
    operator: Literal["=", "<"] = arg("How.", default="=")


@dataclass(frozen=True)
class Args:
    query: str = arg("SQL.", min_length=1)
    limit: int = arg("Rows.", default=100, minimum=1, maximum=1000)
    ratio: float = arg("Share.", default=0.5, minimum=0)
    compact: bool = arg("Short.", default=False)
    format: Literal["text", "json"] = arg("Form.", default="text")
    schema: str | None = arg("Schema.", default=None, max_length=5)
    names: tuple[str, ...] = arg("Names.", default=(), max_items=2, min_length=1)
    where: Filter | None = arg("Filter.", default=None)
    filters: tuple[Filter, ...] = arg("Filters.", default=())
    password: str | None = arg("Password.", default=None, secret=True, max_length=8)


def complaint(value: object) -> str:
    with pytest.raises(ArgumentError) as caught:
        build(Args, value)
    return caught.value.message


def test_the_schema_says_what_each_argument_is() -> None:
    schema = json_schema(Args)
    check_schema(schema)
    assert schema["type"] == "object"
    assert schema["required"] == ["query"]
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == [field.name for field in dataclasses.fields(Args)]
    assert schema["properties"]["limit"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "description": "Rows.",
        "default": 100,
    }
    assert schema["properties"]["format"]["enum"] == ["text", "json"]
    assert schema["properties"]["schema"] == {
        "type": "string",
        "maxLength": 5,
        "description": "Schema.",
    }
    assert schema["properties"]["names"] == {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "maxItems": 2,
        "description": "Names.",
        "default": [],
    }
    assert schema["properties"]["where"]["required"] == ["column"]


def test_a_tool_without_arguments_has_an_object_schema() -> None:
    @dataclass(frozen=True)
    class Nothing:
        pass

    empty = {"type": "object", "properties": {}, "additionalProperties": False}
    assert json_schema(Nothing) == empty
    assert build(Nothing, {}) == Nothing()


def test_arguments_become_an_instance_with_defaults() -> None:
    args = build(Args, {"query": "q", "names": ["a"], "where": {"column": "c"}})
    assert args == Args("q", names=("a",), where=Filter("c"))


def test_null_is_an_absent_argument() -> None:
    assert build(Args, {"query": "q", "limit": None, "schema": None}) == Args("q")


def test_an_integral_float_is_an_integer_and_an_integer_is_a_number() -> None:
    args = build(Args, {"query": "q", "limit": 5.0, "ratio": 1})
    assert (args.limit, type(args.limit), args.ratio, type(args.ratio)) == (5, int, 1.0, float)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit": -1}, "arguments.limit: expected an integer from 1 to 1000, got -1"),
        ({"limit": True}, "arguments.limit: expected an integer from 1 to 1000, got true"),
        ({"limit": "5x"}, 'arguments.limit: expected an integer from 1 to 1000, got "5x"'),
        ({"limit": "5000"}, "arguments.limit: expected an integer from 1 to 1000, got 5000"),
        ({"limit": 5.5}, "arguments.limit: expected an integer from 1 to 1000, got 5.5"),
        (
            {"limit": 10**5000},
            "arguments.limit: expected an integer from 1 to 1000, got a very large number",
        ),
        ({"ratio": -1}, "arguments.ratio: expected a number of at least 0, got -1"),
        (
            {"ratio": 10**400},
            "arguments.ratio: expected a number of at least 0, got a very large number",
        ),
        ({"compact": 1}, "arguments.compact: expected true or false, got 1"),
        ({"format": "xml"}, 'arguments.format: expected one of "text", "json", got "xml"'),
        ({"format": []}, 'arguments.format: expected one of "text", "json", got an array'),
        (
            {"schema": "abcdef"},
            "arguments.schema: expected a string of at most 5 characters, got 6 characters",
        ),
        (
            {"schema": {}},
            "arguments.schema: expected a string of at most 5 characters, got an object",
        ),
        ({"query": ""}, "arguments.query: expected a string that is not empty, got 0 characters"),
        ({"names": "a"}, 'arguments.names: expected an array, got "a"'),
        (
            {"names": ["a", None]},
            "arguments.names[1]: expected a string that is not empty, got null",
        ),
        ({"names": ["a"] * 3}, "arguments.names: expected an array of at most 2 items, got 3"),
        ({"where": {}}, "arguments.where.column: required, expected a string"),
        ({"where": 1}, "arguments.where: expected an object, got 1"),
        (
            {"filters": [{"column": "c", "operator": "~"}]},
            'arguments.filters[0].operator: expected one of "=", "<", got "~"',
        ),
        (
            {"where": {"column": "c", "x": 1}},
            'arguments.where: unknown argument "x" (known: column, operator)',
        ),
        (
            {"where": {"Colum": "c"}},
            'arguments.where: unknown argument "Colum", did you mean column?'
            " (known: column, operator)",
        ),
    ],
)
def test_an_error_names_the_path_and_what_belongs_there(
    arguments: dict[str, object], message: str
) -> None:
    assert complaint({"query": "q"} | arguments) == message


def test_a_required_argument_that_is_missing_or_null_is_named() -> None:
    message = "arguments.query: required, expected a string that is not empty"
    assert complaint({}) == complaint({"query": None}) == message


def test_arguments_that_are_no_object_are_refused() -> None:
    assert complaint([]) == "arguments: expected an object, got an array"


def test_long_values_are_cut_and_the_error_is_a_tool_error() -> None:
    message = complaint({"query": "q", "format": "x" * 10_000})
    assert len(message) < 150
    assert issubclass(ArgumentError, ToolError)


@pytest.mark.parametrize("value", ["hunter2hunter2", 31337, ["hunter2"], {"hunter2": 1}, True])
def test_a_secret_is_never_shown(value: object) -> None:
    message = complaint({"query": "q", "password": value})
    assert "hunter2" not in message and "31337" not in message and "true" not in message


def test_a_choice_among_numbers_is_not_met_by_true() -> None:
    @dataclass(frozen=True)
    class Choice:
        x: Literal[1, 2] = arg("Which.")

    assert json_schema(Choice)["properties"]["x"]["type"] == "integer"
    assert build(Choice, {"x": 1}) == Choice(1)
    with pytest.raises(ArgumentError, match=r"one of 1, 2, got true"):
        build(Choice, {"x": True})


def test_a_field_without_a_description_and_an_unknown_type_are_defects() -> None:
    @dataclass(frozen=True)
    class Bare:
        x: int = 1

    @dataclass(frozen=True)
    class Odd:
        x: bytes = arg("Bytes.")

    for cls in (Bare, Odd):
        with pytest.raises(TypeError):
            json_schema(cls)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        # texts, as hosts write them that keep all arguments as text
        ({"limit": "5"}, {"limit": 5}),
        ({"limit": " 5 "}, {"limit": 5}),
        ({"limit": "5.0"}, {"limit": 5}),
        ({"limit": "1e2"}, {"limit": 100}),
        ({"ratio": "0.25"}, {"ratio": 0.25}),
        ({"ratio": "007"}, {"ratio": 7.0}),
        ({"compact": "true"}, {"compact": True}),
        ({"compact": "False"}, {"compact": False}),
        ({"format": "JSON"}, {"format": "json"}),
        # numbers and truth where a text is wanted
        ({"schema": 42}, {"schema": "42"}),
        ({"schema": 42.0}, {"schema": "42"}),
        ({"schema": 4.5}, {"schema": "4.5"}),
        # a float of 2**53 stands for more than one integer
        ({"query": 2.0**53 - 1}, {"query": "9007199254740991"}),
        ({"query": 2.0**53}, {"query": "9007199254740992.0"}),
        ({"schema": True}, {"schema": "true"}),
        ({"names": ["a", 2]}, {"names": ["a", "2"]}),
        # JSON text, at any depth
        ({"names": '["a", "b"]'}, {"names": ["a", "b"]}),
        ({"where": '{"column": 1}'}, {"where": {"column": "1"}}),
        ({"filters": '[{"column": "c"}]'}, {"filters": [{"column": "c"}]}),
        ({"filters": ['{"column": "c"}']}, {"filters": [{"column": "c"}]}),
        ({"filters": '["{\\"column\\": \\"c\\"}"]'}, {"filters": [{"column": "c"}]}),
        # what stands for an argument that is left out
        *(({name: ""}, {}) for name in ("limit", "ratio", "compact", "format", "schema")),
        *(({name: ""}, {}) for name in ("names", "where", "filters", "password")),
        *(({name: "null"}, {}) for name in ("limit", "compact", "names", "where")),
        *(({"limit": zero}, {}) for zero in (0, 0.0, "0", "0.0")),
    ],
)
def test_arguments_are_understood_as_clients_send_them(
    sent: dict[str, Any], meant: dict[str, Any]
) -> None:
    assert build(Args, {"query": "q"} | sent) == build(Args, {"query": "q"} | meant)


_UNCLEAR: list[dict[str, Any]] = [
    *({"limit": text} for text in ("1x", "1,000", "1_0", "٣", "0x5", "--1", "1.5", "true")),
    *({"limit": value} for value in ([5], {"value": 5}, "9" * 10_000, "1e999")),
    *({"ratio": text} for text in ("NaN", "inf", "1e999", ".5.")),
    *({"compact": value} for value in ("yes", "1", 1, 0, "t")),
    *({"format": value} for value in ("XML", 1, "text json")),
    {"schema": []},
    {"schema": ["a"]},
    {"schema": {}},
    {"schema": 10**400},
    *({"names": text} for text in ("a", "a, b", "[a]", '["a"', "{}", '["a"] x')),
    *({"where": text} for text in ("column", '{"column": "c", "column": "d"}', "[]")),
    *({"where": text} for text in ("{" * 100_000, '{"a":' * 5000, "[" * 65 + "]" * 65)),
    {"filters": "[" + "{}," * 20_000 + "{}]"},
    {"where": '{"column": "\\ud800"}'},
    {"password": 12345},
    {"limt": 5},
    {"toolCallId": "call_1"},
]


@pytest.mark.parametrize("sent", _UNCLEAR)
def test_what_has_no_one_meaning_stays_refused(sent: dict[str, Any]) -> None:
    assert len(complaint({"query": "q"} | sent)) < 250


def test_an_empty_text_is_kept_where_it_is_a_value_or_there_is_no_default() -> None:
    @dataclass(frozen=True)
    class Texts:
        needed: str = arg("Text.")
        value: str | None = arg("Text.", default=None, empty_means_absent=False)
        offset: int = arg("Number.", default=7, minimum=0)

    assert build(Texts, {"needed": "", "value": "", "offset": 0}) == Texts("", "", 0)


def test_names_that_are_ignored_are_left_out_unless_they_are_arguments() -> None:
    ignored = ("toolCallId", "schema")
    args = build(Args, {"query": "q", "toolCallId": [1], "schema": "s"}, ignored=ignored)
    assert args == Args("q", schema="s")
    with pytest.raises(ArgumentError, match="unknown argument"):
        build(Args, {"query": "q", "where": {"column": "c", "toolCallId": 1}}, ignored=ignored)


SCALARS: st.SearchStrategy[Any] = (
    st.booleans()
    | st.integers(-5, 1005)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["text", "json", "=", "<", "TEXT", "5", "true", "null", '["a"]', "{}"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["column", "operator", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = [field.name for field in dataclasses.fields(Args)]


@given(st.dictionaries(st.sampled_from([*NAMES, "other"]), VALUES, max_size=5))
@example({"query": "q", "limit": 5.0})
@example({"query": "q", "limit": 1e308})
def test_what_the_schema_accepts_is_built_and_what_is_built_meets_it(
    arguments: dict[str, Any],
) -> None:
    valid = is_valid(json_schema(Args), arguments)
    try:
        args = build(Args, arguments)
    except ArgumentError:
        assert not valid
    else:
        assert is_valid(json_schema(Args), plain(args))
