"""The page of a judged version: plain, whole, small, and safe with whatever names it is given."""

from __future__ import annotations

import math
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from sovereign_tasks.evaluate.gates import judge
from sovereign_tasks.evaluate.report import MOST_GATES, MOST_SLICES, Judged, render
from sovereign_tasks.gates_config import GateConfig
from sovereign_tasks.records import EvalReport, GateRow
from tests.unit.evaluate.judged import cases, version

MOST_BYTES = 100_000
CASES = cases()
SAID = {
    "promoted": ("Version 7 passed", "knows held-out answers better than the base and the champion"),
    "luck": ("it could not be shown to be better, and the difference may be luck", "that may be luck"),
    "leak": ("it breaks a limit that it must keep", "9.300 is over the limit of 5."),
    "few": ("not enough evidence yet: 38 of 100 groups", "too few to tell"),
    "first": ("Version 7 passed", "Passed over: no champion yet."),
}


class Page(HTMLParser):
    """What a page shows, its tags, and where it would load from."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [f"{name}={value}" for name, value in attrs if name in ("src", "href", "action", "data")]
        self.loads += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    @property
    def said(self) -> str:
        return " ".join(self.words)


@pytest.mark.parametrize("case", CASES)
def test_it_says_plainly_what_became_of_a_version_and_why(case: str) -> None:
    text = render(CASES[case])
    page = Page(text)
    for said in SAID[case]:
        assert said in page.said
    assert "nan" not in page.said.split()
    assert page.loads == []
    assert "url(" not in text
    assert "@import" not in text
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "form", "object"})
    assert len(text.encode()) < MOST_BYTES


def test_every_gate_is_told_with_what_it_asks_and_how_it_went() -> None:
    said = Page(render(CASES["luck"])).said
    assert "It must be better than the base by more than 0.02." in said
    assert "It must not be worse than the base by more than 0.1." in said
    assert "One of those marked “answers” is enough." in said
    assert "not needed" in said, "of the two one is enough, and only one of them passed"
    assert "150 questions in 150 groups" in said


def test_a_picture_shows_the_interval_on_the_ground_where_it_must_lie() -> None:
    row = GateRow("g", "nll", "base", 1.0, 1.5, 0.5, 0.25, 0.75, 0.0, True, "")
    text = render(replace(CASES["luck"], rows=[row], reports={}))
    # From 0 to 0.75, with 12% of that beside it on either side, onto 320.
    place = {value: round(320 * (value + 0.09) / 0.93, 1) for value in (0.0, 0.25, 0.5, 0.75)}
    assert f'<rect class="zone" x="{place[0.0]}"' in text
    assert f'<line class="bar" x1="{place[0.25]}" x2="{place[0.75]}"' in text
    assert f'<circle class="point" cx="{place[0.5]}"' in text


def test_rows_are_counted_and_the_farthest_named_by_id_alone() -> None:
    judged = version()
    ours, theirs = (judged.reports[who]["holdout"] for who in ("candidate", "champion"))
    gains = [b - a for a, b in zip(ours.scores["nll"], theirs.scores["nll"], strict=True)]
    text = render(judged)
    said = Page(text).said
    assert f"better on {sum(g > 0 for g in gains)}, worse on {sum(g < 0 for g in gains)}" in said
    for most in (max(gains), min(gains)):
        assert f"<code>{ours.example_ids[gains.index(most)]}</code>" in text
    with_texts = {
        who: by | {"holdout": replace(by["holdout"], answers=["a secret"] * 150)} for who, by in judged.reports.items()
    }
    assert "secret" not in render(replace(judged, reports=with_texts))


def test_means_of_slices_stand_side_by_side() -> None:
    judged = version()
    said = Page(render(judged)).said
    kinds = judged.reports["champion"]["holdout"].slices["kind"]
    values = judged.reports["champion"]["holdout"].scores["nll"]
    faq = [value for value, kind in zip(values, kinds, strict=True) if kind == "faq"]
    assert f"{sum(faq) / len(faq):.3f}" in said
    many = [f"source {i}" for i in range(14) for _ in range(11)][:150]
    held = judged.reports["candidate"]["holdout"]
    wide = {"holdout": replace(held, slices={"source": many})}
    found = render(replace(judged, reports=judged.reports | {"candidate": wide}))
    assert found.count("<td>source") <= 3 * MOST_SLICES


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\"><img src=x onerror='a()'>", "x" * 5000])
def test_a_hostile_name_is_shown_and_nothing_more(name: str) -> None:
    judged = version(extra=(GateRow(name, name, name, *[math.nan] * 6, False, name, "must", name),))
    held = judged.reports["candidate"]["holdout"]
    slices = {name: [name] * len(held.example_ids)}
    reports = judged.reports | {"candidate": {"holdout": replace(held, slices=slices)}}
    text = render(replace(judged, model=name, version=name, reports=reports, facts={name: name}))
    page = Page(text)
    assert page.tags.isdisjoint({"script", "img"})
    assert page.loads == []
    assert len(text.encode()) < MOST_BYTES


def test_nothing_and_no_numbers_are_told_too() -> None:
    nothing = Judged("roofing", "1", [], False, {}, {}, 100)
    assert "nothing was asked of it" in Page(render(nothing)).said
    blank = GateRow("nll against base", "nll", "base", *[math.nan] * 6, False, "nll of the base was not measured")
    assert "not all could be measured" in Page(render(replace(nothing, rows=[blank]))).said
    judged = version()
    broken = {}
    for who, by in judged.reports.items():
        scores = {metric: [math.nan] * len(values) for metric, values in by["holdout"].scores.items()}
        broken[who] = by | {"holdout": replace(by["holdout"], scores=scores)}
    assert "nan" not in Page(render(replace(judged, reports=broken))).said
    empty = {
        who: {"holdout": replace(by["holdout"], example_ids=[], groups=[], scores={"nll": []}, slices={})}
        for who, by in judged.reports.items()
    }
    assert render(replace(judged, reports=empty))


def test_a_great_many_gates_stay_small() -> None:
    rows = [replace(CASES["leak"].rows[-1], gate=f"case {i}") for i in range(300)]
    text = render(replace(CASES["leak"], rows=rows))
    assert f"{300 - MOST_GATES} more are in gates.json" in Page(text).said
    assert len(text.encode()) < MOST_BYTES


def test_a_judges_verdicts_an_owners_task_and_skills_are_told_in_words() -> None:
    ids = [f"r{i}" for i in range(40)]

    def reports(who: str, verdict: float, right: float, loss: float) -> dict[str, EvalReport]:
        skills = {"skill": ["order"] * 20 + ["reading"] * 20}
        return {
            "judge": EvalReport(who, "judge", ids, ids, {"judge": [verdict] * 40}),
            "task_colours": EvalReport(who, "task_colours", ids, ids, {"task_colours": [right] * 40}),
            "general": EvalReport(who, "general", ids, ids, {"general_nll": [loss] * 40}, slices=skills),
        }

    both = {"candidate": reports("candidate", 0.0, 1.0, 1.2), "base": reports("base", -1.0, 1.0, 1.1)}
    own = GateConfig.model_construct(metric="task_colours", better_than=None, no_worse_than="base", by=0.05, one_of="")
    gates = [GateConfig(metric="judge", better_than="base"), own, GateConfig(metric="general_nll", better_than="base")]
    rows = judge(gates, both["candidate"], both["base"], None)
    said = Page(render(replace(version(), rows=rows, reports=both, passed=False))).said
    assert "The judge's liking for its answers" in said
    assert "1.000 better. With luck allowed for, it is better by at least 0.912." in said
    assert "Right answers in the task colours" in said
    assert "reading 20 1.100 1.200" in said
