"""The soak's verdict and picture mean what they say; the soak itself is run by hand."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from tools.drawing import Chart, Mark, render
from tools.soak_clients import Client
from tools.soaking import Sample, flatness


def life(memory: list[float], number: int = 1) -> list[Sample]:
    return [Sample(n, number, value, 50, 20, 10) for n, value in enumerate(memory)]


def test_a_process_that_stays_as_it_was_is_flat_whatever_its_start_and_peaks() -> None:
    samples = life([10, 20, *[40] * 20, 400, *[41] * 20])
    assert all(fine for *_, fine in flatness(samples))


def test_growth_is_seen_in_the_life_in_which_it_happens() -> None:
    samples = life([40.0] * 30) + life([40 + n for n in range(30)], 2)
    verdicts = {(life, measure): fine for life, measure, _, _, fine in flatness(samples)}
    assert not verdicts[2, "memory"]
    assert sum(verdicts.values()) == len(verdicts) - 1


def test_a_life_that_is_too_short_has_no_verdict() -> None:
    assert list(flatness(life([1, 2, 3]))) == []


def test_the_picture_is_svg_with_a_line_for_each_measure_and_mark() -> None:
    charts = [Chart("a < b", [(0, 1), (10, 2)]), Chart("empty", [])]
    picture = ElementTree.fromstring(render("t & u", charts, [Mark(5, "#f00", "kill")]))
    names = [element.tag.rpartition("}")[2] for element in picture]
    assert names.count("polyline") == 2
    assert names.count("line") == 2
    assert "a < b" in [element.text for element in picture]


@pytest.mark.parametrize(
    ("status", "told", "revoked", "judged"),
    [
        (200, {"id": 7, "result": {"content": [{"text": "n\n7\n"}]}}, False, "answers"),
        (200, {"id": 7, "result": {"isError": True}}, False, "tool errors"),
        (200, {"id": 7, "result": {"content": [{"text": "n\n8\n"}]}}, False, "WRONG"),
        (200, {"id": 8, "result": {"content": [{"text": "n\n7\n"}]}}, False, "WRONG"),
        (200, {"id": 7, "error": {"code": 1}}, False, "WRONG"),
        (401, {}, False, "WRONG"),
        (500, {}, False, "WRONG"),
        (401, {}, True, "refused"),
        (200, {}, True, "WRONG"),
    ],
)
def test_every_answer_is_judged(status: int, told: object, revoked: bool, judged: str) -> None:
    found = Client._judged(status, json.dumps(told).encode(), 7, revoked=revoked)
    assert found.partition(":")[0] == judged
