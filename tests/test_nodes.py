"""Node trees are read as PostgreSQL's own reader (pg_strtok) would."""

from __future__ import annotations

import pytest

from pgmcp.judging.nodes import Node, parse


def test_a_tree_is_nodes_fields_lists_and_atoms() -> None:
    tree = "({A :b 5 :c (i 1 2) :d {E :f <>}} x)"
    inner = Node("E", {"": [], "f": ["<>"]})
    assert parse(tree) == [
        [Node("A", {"": [], "b": ["5"], "c": [["i", "1", "2"]], "d": [inner]}), "x"]
    ]


@pytest.mark.parametrize("space", ["\u00a0", "\f", "\r", "\v", "\x1c", "\x85", "\u2028"])
def test_a_name_with_another_space_is_one_atom_and_no_field(space: str) -> None:
    name = f"t{space}:ctelevelsup{space}9"
    (entry,) = parse(f"{{RANGETBLENTRY :ctename {name} :ctelevelsup 0}}")
    assert entry == Node("RANGETBLENTRY", {"": [], "ctename": [name], "ctelevelsup": ["0"]})


@pytest.mark.parametrize("name", [r"a\ b", r"\{A", r"a\)b", r"\\", "a\\\nb", r"\:c"])
def test_what_is_escaped_is_part_of_a_name(name: str) -> None:
    (node,) = parse(f"{{A :b {name} :c 1}}")
    assert node == Node("A", {"": [], "b": [name], "c": ["1"]})


@pytest.mark.parametrize("tree", ["", "{", "}", "(", ")}", "{A :b", "{A :b \\"])
def test_a_tree_that_is_cut_is_read_as_far_as_it_goes(tree: str) -> None:
    assert len(parse(tree)) <= 1
