"""The texts made from the tables of keys."""

from __future__ import annotations

import re

from pgmcp.cli import flags
from pgmcp.config import reference, template
from pgmcp.config.databases import KEYS as DATABASE_KEYS
from pgmcp.config.model import KEYS
from pgmcp.config.policies import KEYS as POLICY_KEYS


def test_every_key_is_in_the_written_file_and_in_the_table() -> None:
    text, listed = template.render(), reference.render_keys_markdown()
    for key in KEYS + DATABASE_KEYS:
        name = key.example or key.path.rpartition(".")[2]
        assert f"{name}: " in text
        assert f"{key.path}` (" in listed
        assert key.description.split(",")[0].split()[0] in text


def test_every_variable_and_flag_is_in_the_manual_and_in_the_help() -> None:
    listed, text = reference.render_keys_markdown(), " ".join(flags.usage().split())
    for key in KEYS + DATABASE_KEYS:
        if key.env:
            assert f"`{key.env}`" in listed
        if key.flag:
            assert f"`-{key.flag}`" in listed
            assert f" -{key.flag} " in text
            assert key.env is None or key.env in text


def test_every_section_has_its_heading_once_and_each_key_below_it() -> None:
    listed = reference.render_keys_markdown()
    headings = [line for line in listed.splitlines() if line.startswith("### ")]
    assert len(headings) == len(set(headings))
    assert "### `databases[]`" in headings
    assert listed.count("\n- `") == len(KEYS) + len(DATABASE_KEYS) + len(POLICY_KEYS)
    below = listed.partition("### `http.tls`\n")[2].partition("### ")[0]
    assert re.findall(r"^- `([^`]+)\.", below, re.MULTILINE) == ["http.tls"] * below.count("- `")


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
