"""Reading and writing small YAML files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgmcp.errors import FileError
from pgmcp.storage import files


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds for PyYAML with libyaml and without."""
    if request.param == "python":
        monkeypatch.setattr(files, "Loader", yaml.SafeLoader)


# The loader stays the same for all examples of a test.
either_loader = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)


def refusal(text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(FileError) as caught:
        files.load_yaml(data, "f.yaml")
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 1\nb: [x, 2.5, true, null]\n", {"a": 1, "b": ["x", 2.5, True, None]}),
        ("at: 2024-10-30T10:15:30Z", {"at": "2024-10-30T10:15:30Z"}),
        ('at: "2024-10-30T10:15:30Z"', {"at": "2024-10-30T10:15:30Z"}),
        ("no: 1\n12: 2\n", {"no": 1, "12": 2}),
        ("\ufeffa: é", {"a": "é"}),
    ],
)
def test_reads_values_with_keys_and_timestamps_as_they_are_written(
    text: str, value: object
) -> None:
    assert files.load_yaml(text.encode(), "f.yaml") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "f.yaml: line 2: a is there twice"),
        ("a:\n- b: 1\n  b: 1\n", "f.yaml: line 3: a[0].b is there twice"),
        ("a: &x 1\nb: *x\n", "f.yaml: line 1: anchors and aliases (& and *) are not accepted"),
        ("b: *x\n", "f.yaml: line 1: anchors and aliases (& and *) are not accepted"),
        ("a: 1\n---\nb: 1\n", "f.yaml: line 2: a second document; only one is read"),
        ("[" * 34 + "]" * 34, "f.yaml: line 1: nested deeper than 32 levels"),
        ("a: !!python/name:os.system x", "f.yaml: line 1: a has a tag that is not accepted"),
        ("a: !!int x", "f.yaml: line 1: a is not a valid int"),
        ("a: " + "9" * 5000, "f.yaml: line 1: a is not a valid int"),
        ("? [a]\n: 1\n", "f.yaml: line 1: a key of the file is not a plain word"),
        (b"a: 1\nb: \xff", "f.yaml: line 2: not UTF-8 text"),
        (b"\n\xff", "f.yaml: line 2: not UTF-8 text"),
        ("a: \0", "f.yaml: not valid YAML: a character that is not allowed"),
    ],
)
def test_refuses_what_could_be_read_in_two_ways(text: str | bytes, message: str) -> None:
    assert refusal(text) == message


def test_a_syntax_error_names_the_line_and_quotes_nothing_of_the_file() -> None:
    message = refusal("a: 1\nhash: [secret\n")
    assert message.startswith("f.yaml: line ")
    assert "secret" not in message


@pytest.mark.parametrize("opening", ["[", "a: [", "- "])
def test_any_nesting_is_refused_and_the_line_named(opening: str) -> None:
    # The parser may have a limit of its own, and words of its own for it.
    assert refusal(opening * 100_000).startswith("f.yaml: line 1: ")


def test_a_bomb_of_aliases_is_refused_without_being_built() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert "aliases" in refusal("l0: &l0 lol\n" + "\n".join(levels))


@either_loader
@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_file_error(data: bytes) -> None:
    try:
        files.load_yaml(data, "f.yaml")
    except FileError as error:
        assert error.message.startswith("f.yaml: ")


_SCALARS = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text()
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@either_loader
@given(st.dictionaries(st.text(), _VALUES, max_size=4))
def test_what_is_written_reads_back_the_same(value: dict[str, object]) -> None:
    assert files.load_yaml(files.dump_yaml(value), "f.yaml") == value


def test_writes_the_layout_of_the_guide() -> None:
    entry = {"id": "token-1", "note": "Production API", "created_at": "2024-10-30T10:15:30Z"}
    assert files.dump_yaml({"tokens": [entry]}).decode() == (
        "tokens:\n"
        "  - id: token-1\n"
        "    note: Production API\n"
        '    created_at: "2024-10-30T10:15:30Z"\n'
    )


def test_a_file_that_is_not_there_has_no_bytes(tmp_path: Path) -> None:
    assert files.read(tmp_path / "none") is None


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 11)
    assert files.read(path, max_bytes=11) == b"x" * 11
    with pytest.raises(FileError, match="larger than the 10 bytes"):
        files.read(path, max_bytes=10)


def test_a_fifo_or_a_folder_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FileError, match="not a regular file"):
        files.read(tmp_path / "fifo")
    with pytest.raises(FileError):
        files.read(tmp_path)


def test_text_that_is_not_unicode_is_not_written() -> None:
    with pytest.raises(FileError, match="not valid Unicode"):
        files.dump_yaml({"note": "\udcff"})
