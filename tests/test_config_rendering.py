"""The texts made from the tables of keys."""

from __future__ import annotations

from pgmcp.cli import flags
from pgmcp.config import reference, template
from pgmcp.config.databases import KEYS as DATABASE_KEYS
from pgmcp.config.model import KEYS


def test_every_key_is_in_the_written_file_and_in_the_table() -> None:
    text, table = template.render(), reference.render_table_markdown()
    for key in KEYS + DATABASE_KEYS:
        name = key.example or key.path.rpartition(".")[2]
        assert f"{name}: " in text
        assert f"{key.path}` |" in table
        assert key.description.split(",")[0].split()[0] in text


def test_every_variable_and_flag_is_in_the_table_and_in_the_help() -> None:
    table, text = reference.render_table_markdown(), " ".join(flags.usage().split())
    for key in KEYS + DATABASE_KEYS:
        if key.env:
            assert f"`{key.env}`" in table
        if key.flag:
            assert f"`-{key.flag}`" in table
            assert f" -{key.flag} " in text
            assert key.env is None or key.env in text


def test_the_table_has_as_many_cells_in_each_row() -> None:
    rows = reference.render_table_markdown().splitlines()
    assert len(rows) == len(KEYS) + len(DATABASE_KEYS) + 2
    assert {row.count(" | ") for row in rows} == {5}


def test_no_two_keys_share_a_path_a_variable_or_a_flag() -> None:
    keys = KEYS + DATABASE_KEYS
    for names in (
        [key.path for key in keys],
        [key.env for key in keys if key.env],
        [key.flag for key in keys if key.flag],
    ):
        assert len(names) == len(set(names))


def test_the_texts_fit_their_width() -> None:
    for text in (template.render(), flags.usage()):
        assert max(map(len, text.splitlines())) <= 100
