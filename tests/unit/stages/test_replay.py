"""The owner's chats against forgetting: what is replayed, what measures, and what is said of a file that won't do."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from sovereign_tasks.causal_lm import base_name
from sovereign_tasks.config import load_model
from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import open_ledger
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.stages import erasure, retrain
from sovereign_tasks.stages.context import open_context, run_key
from sovereign_tasks.stages.people import read_request
from sovereign_tasks.stages.replay import OwnChats, read_replay
from sovereign_tasks.stages.snapshots import load_splits
from sovereign_tasks.terminal.erasure import print_found
from sovereign_tasks.terminal.plan import print_plan
from sovereign_tasks.train.qlora import train

from . import nights
from .test_rules import change_config

TINY = (
    "training: {base_model: scratch, replay: %s, scratch: {vocabulary: 500, hidden: 64, layers: 1, heads: 2, steps: 2}}"
)


def chat(n: int) -> dict:
    """A chat in one of the two forms."""
    question, answer = f"How tall is tower {n}?", f"Tower {n} is {n + 20} metres tall."
    if n % 2:
        return {"question": question, "answer": answer}
    turns = [
        ("system", "Be brief."),
        ("user", question),
        ("assistant", answer),
        ("user", "Sure?"),
        ("assistant", "Yes."),
    ]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


@pytest.fixture
def file(documents: Path, tmp_path: Path) -> Path:
    """A file of 80 chats that the model's settings name."""
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(f"{json.dumps(chat(n))}\n" for n in range(80)))
    change_config(tmp_path, "training: {base_model: scratch}", TINY % path)
    return path


def read() -> OwnChats:
    return read_replay(load_model("siding"))


def test_a_chat_is_replayed_or_measures_for_good(file: Path) -> None:
    before = read()
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert before.named == {"sha256": sha256, "chats": 80, "near_holdout": 0}
    assert 10 <= len(before.regression) <= 30
    assert len(before.train) + len(before.regression) == 80
    said = {tuple((m["role"], m["content"]) for m in e.messages) for e in (*before.train, *before.regression)}
    assert (("user", "How tall is tower 1?"), ("assistant", "Tower 1 is 21 metres tall.")) in said
    assert tuple((m["role"], m["content"]) for m in chat(0)["messages"]) in said

    opens_alike = {"question": "how  tall is TOWER 0?", "answer": "Nobody knows."}
    more = [json.dumps(row) for row in (*map(chat, range(80, 120)), opens_alike)]
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*more, *lines[::-1], lines[3]]))
    after = read()
    assert after.named["chats"] == 121
    for part in ("train", "regression"):
        assert {e.example_id for e in getattr(before, part)} < {e.example_id for e in getattr(after, part)}
    by_group = Counter(e.group for e in (*after.train, *after.regression))
    assert [count for count in by_group.values() if count > 1] == [2]
    parts = [[e.answer for e in part if by_group[e.group] == 2] for part in (after.train, after.regression)]
    assert sorted(map(sorted, parts)) == [[], ["Nobody knows.", "Yes."]]


def test_the_bundled_chats_need_no_file(documents: Path) -> None:
    assert read() is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{not json}", "line 81 is not JSON"),
        ('["a", "b"]', "line 81 is no JSON object"),
        ('{"text": "Something."}', "line 81 has neither messages nor question and answer"),
        ('{"question": "Why?", "answer": " "}', "line 81 has a turn without text"),
        ('{"question": "Why?", "answer": "\\ud800"}', "line 81 has half characters"),
        ('{"messages": "Why?"}', "line 81 has messages that are no list"),
        ('{"messages": []}', "line 81 has turns that do not go user, assistant"),
        ('{"messages": [{"role": "user", "content": "Why?"}]}', "line 81 has turns that do not go user, assistant"),
        ('{"messages": [{"role": "assistant", "content": "So."}]}', "line 81 has turns that do not go user, assistant"),
        (b"\xff\xfe{}".decode("latin-1"), "line 81 is not UTF-8"),
    ],
)
def test_a_line_that_is_no_chat_is_named(file: Path, line: str, said: str) -> None:
    with file.open("a", encoding="latin-1") as f:
        f.write(f"{line}\n")
    with pytest.raises(UserError, match=rf"siding: training.replay: {file}: {said}.*; mend the line or take it out"):
        read()


def test_a_file_that_will_not_do_is_a_sentence(file: Path) -> None:
    whole = file.read_text()
    file.write_text(whole[:-20])
    with pytest.raises(UserError, match=r"its last line \(row 80\) is cut off; write the file anew"):
        read()
    file.write_text("".join(whole.splitlines(keepends=True)[:8]))
    with pytest.raises(UserError, match=r"too few chats: of 8, \d fall to measuring .* some 60 chats"):
        read()
    file.unlink()
    with pytest.raises(UserError, match=r"chats.jsonl can't be read: No such file or directory; correct the path"):
        read()
    change_config(file.parent, "chats.jsonl", "chats.csv")
    with pytest.raises(UserError, match=r"chats.csv is no JSON-lines file; name one that ends in .jsonl or .ndjson"):
        read()


def test_preflight_and_plan_reckon_with_the_file(file: Path) -> None:
    assert nights.run_night("one")
    retrain.preflight("siding", "first", None, by_hand=True)
    ledger = open_ledger(os.environ["SOVEREIGN_STATE"])
    (report,) = ledger.reports("siding", run_key("retrain", "siding", "first"))
    assert report.notes["replay"] == read().named
    out = io.StringIO()
    print_plan(Console(file=out, width=80), ledger, load_model("siding"), None)
    assert " of your chats\n" in out.getvalue()

    change_config(file.parent, "replay:", "max_length: 170, too_long: split, replay:")
    rows = [chat(n) for n in range(0, 160, 2)]
    for row in rows:
        row["messages"][2]["content"] *= 20
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    print_plan(Console(file=out, width=80), ledger, load_model("siding"), None)
    assert " shortened\n" in out.getvalue()

    file.unlink()
    with pytest.raises(UserError, match="can't be read"):
        retrain.preflight("siding", "gone", None, by_hand=True)
    assert "can't be read" in ledger.failures("siding", run_key("retrain", "siding", "gone"))["preflight"]


def test_a_chat_near_a_held_out_row_is_not_replayed(file: Path) -> None:
    assert nights.run_night("one")
    context = open_context("siding", "x")
    splits = load_splits(context, context.ledger.snapshots("siding")[-1])
    copies = [{"question": e.question.upper(), "answer": f"{e.answer} Ask us."} for e in splits["holdout"]]
    file.write_text(file.read_text() + "".join(f"{json.dumps(row)}\n" for row in copies))
    before, after = read(), read_replay(load_model("siding"), splits["holdout"])
    assert 0 < after.near_holdout == len(before.train) - len(after.train) <= len(copies)
    assert {e.answer for e in before.train} - {e.answer for e in after.train} <= {row["answer"] for row in copies}
    assert not {e.answer for e in after.train} & {row["answer"] for row in copies}
    assert after.regression == before.regression
    assert after.named == before.named | {"near_holdout": after.near_holdout}
    retrain.preflight("siding", "near", None, by_hand=True)
    (report,) = context.ledger.reports("siding", run_key("retrain", "siding", "near"))
    assert report.notes["replay"] == after.named


def test_every_subject_is_measured_on_both_sets(file: Path, domain, tuning, tiny_base: Path, tmp_path: Path) -> None:
    settings = tuning.model_copy(update={"replay": str(file), "epochs": 0.2})
    made = train(domain.train[:8], settings, tiny_base, tmp_path / "adapter", own_chats=read().train)
    assert made.replayed == 2
    training = TrainingRun("siding", "r", 1, str(tiny_base), base_name(tiny_base), "", 1, made.adapter, "", {})
    context = open_context("siding", "x")
    own = retrain._own_general(context, training)
    reports = retrain._score(context, "candidate", training, domain.holdout[:4], own, lambda share: None)
    assert reports["general"].example_ids[120:] == sorted(e.example_id for e in read().regression)


def test_an_erasure_says_that_it_does_not_reach_the_file(file: Path) -> None:
    assert nights.run_night("one")
    context, out = open_context("siding", "x"), io.StringIO()
    print_found(Console(file=out, width=80), context.ledger, context.config, io.StringIO("email: jane@roe.example\n"))
    assert f"Not looked into: {file}, from which trainings replay" in " ".join(out.getvalue().split())
    request = erasure.ask(context, read_request("source: house"))
    assert "the file of training.replay, which was not looked into" in erasure.erase("siding", request)["left_to_you"]
