"""Reading the command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmcp.cli.flag_table import all_flags
from pgmcp.cli.flags import parse, usage
from pgmcp.errors import UsageError


@pytest.mark.parametrize(
    "argv",
    [
        ["-addr", ":1"],
        ["-addr=:1"],
        ["--addr", ":1"],
        ["--addr=:1"],
        ["-addr", ":9", "-addr=:1"],
        ["-addr", ":1", "--"],
    ],
)
def test_gos_spellings_of_a_value(argv: list[str]) -> None:
    assert parse(argv).values == {"addr": ":1"}


@pytest.mark.parametrize(
    "value", ["-x", "--", "-http", "-", "", "a b", "a=b", "-x=1", "@file", "%s"]
)
def test_the_next_word_is_the_value_whatever_it_is(value: str) -> None:
    assert parse(["-addr", value]).values == {"addr": value}
    assert parse([f"-addr={value}"]).values == {"addr": value}


@pytest.mark.parametrize("word", ["1", "t", "T", "TRUE", "true", "True"])
def test_gos_words_for_true(word: str) -> None:
    assert parse([f"-http={word}"]).values == {"http": True}


@pytest.mark.parametrize("word", ["0", "f", "F", "FALSE", "false", "False"])
def test_gos_words_for_false(word: str) -> None:
    assert parse([f"--http={word}"]).values == {"http": False}


def test_a_boolean_flag_alone_is_true_and_the_last_one_wins() -> None:
    assert parse(["-http", "-tls", "-tls=false"]).values == {"http": True, "tls": False}


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["-tl"], "unknown flag: -tl"),
        (["-tl=true"], "unknown flag: -tl"),
        (["--htt"], "unknown flag: -htt"),
        (["-add"], "unknown flag: -add"),
        (["-db-pasword=hush"], "unknown flag: -db-pasword"),
        (["-="], "not a flag: '-'"),
        (["---http"], "not a flag: '---http'"),
        (["-http=maybe"], "-http: 'maybe'"),
        (["-http="], "-http: ''"),
        (["-addr"], "missing value: -addr"),
        (["-http", "false"], "unexpected argument: 'false'"),
        (["serve"], "unexpected argument: 'serve'"),
        (["-"], "unexpected argument: '-'"),
        ([""], "unexpected argument: ''"),
        (["--", "-http"], "unexpected argument: '-http'"),
        (["-add-token", "-list-tokens"], "-add-token and -list-tokens"),
        (["-version", "-add-user"], "-version and -add-user cannot"),
        (["-token-note", "x"], "-token-note needs -add-token"),
        (["-username", "x"], "-username needs -add-user or"),
        (["-list-tokens", "-token-note=x"], "-token-note does not go with -list-tokens"),
        (["-enable-user", "-password=x"], "-password does not go with -enable-user"),
        (["-yes"], "-yes needs -delete-user"),
        (["-remove-token", ""], "empty value: -remove-token"),
    ],
)
def test_what_cannot_be_read_is_named(argv: list[str], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(argv)
    assert named in caught.value.message
    assert "hush" not in caught.value.for_operator()


def test_a_near_miss_is_told_the_flag() -> None:
    with pytest.raises(UsageError) as caught:
        parse(["-tokenfile", "x"])
    assert caught.value.hint == "Did you mean -token-file?"
    with pytest.raises(UsageError) as caught:
        parse(["-http", "false"])
    assert "-flag=false" in caught.value.hint


def test_no_abbreviation_of_any_flag_is_taken() -> None:
    names = {flag.name for flag in all_flags().values()} | {"h"}
    for name in names:
        for length in range(1, len(name)):
            if name[:length] not in names:
                with pytest.raises(UsageError, match="unknown flag"):
                    parse([f"-{name[:length]}"])


@pytest.mark.parametrize(
    ("line", "verb", "values"),
    [
        ("", None, {}),
        ("-http -tls -cert c -key k", None, {"http": True, "tls": True, "cert": "c", "key": "k"}),
        ("-add-token -token-note N -token-expiry 1y", "add-token",
         {"token-note": "N", "token-expiry": "1y"}),
        ("-token-database staging -add-token", "add-token", {"token-database": "staging"}),
        ("-remove-token b3f805a4", "remove-token", {"remove-token": "b3f805a4"}),
        ("-update-user -username alice -password p", "update-user",
         {"username": "alice", "password": "p"}),
        ("-add-user -username a -password - -user-note n", "add-user",
         {"username": "a", "password": "-", "user-note": "n"}),
        ("-delete-user -username c -yes", "delete-user", {"username": "c", "yes": True}),
        ("-user-file /u.yaml -list-users", "list-users", {"user-file": "/u.yaml"}),
        ("-add-token=false", None, {}),
        ("-init -config c.yaml", "init", {"config": "c.yaml"}),
        ("-version", "version", {}),
    ],
)  # fmt: skip
def test_command_lines_of_the_guide(
    line: str, verb: str | None, values: dict[str, str | bool]
) -> None:
    options = parse(line.split())
    assert options.verb == verb
    without_verb = {k: v for k, v in options.values.items() if k != verb or v is not True}
    assert without_verb == values


@pytest.mark.parametrize("word", ["-h", "--h", "-help", "--help", "-help=true"])
def test_help_ends_the_reading(word: str) -> None:
    assert parse(["-http", word, "-unknown"]).verb == "help"


def test_the_usage_shows_every_flag() -> None:
    text = usage()
    for flag in all_flags().values():
        assert f"\n  -{flag.name} {flag.metavar}".rstrip() in text


@given(
    st.lists(st.sampled_from(["-http", "-addr", "--", "-", "x", "-tls=0"]) | st.text(max_size=6))
)
def test_any_command_line_is_read_or_refused(argv: list[str]) -> None:
    try:
        parse(argv)
    except UsageError as error:
        assert error.message
