from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archive_helpers import accounted, resumes_anywhere
from collect_helpers import EMPTY, after, run
from pydantic import ValidationError

from sovereign_tasks.collect.dataset import DatasetSource
from sovereign_tasks.collect.tabular.arrow_rows import _unpacked as arrow_rows_of
from sovereign_tasks.errors import UserError

ROWS = [{"question": f"How is {n}?", "answer": f"It is {n}."} for n in range(6)]


def source(path="", **settings):
    return DatasetSource(name="set", kind="dataset", path=str(path), licence="MIT", consent="open-licence", **settings)


def jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def pairs(got):
    items = {i.item: i for i in got.items}
    return {items[i.parent].body.decode(): i.body.decode() for i in got.items if i.score == 1}


ALL = {row["question"]: row["answer"] for row in ROWS}


@pytest.mark.parametrize(("write", "name"), [(jsonl, "a.jsonl"), (parquet, "a.parquet")])
def test_questions_and_answers_of_a_file(tmp_path, write, name):
    path = write(tmp_path / name, ROWS)
    got = run(source(path))
    assert pairs(got) == ALL
    assert {i.address for i in got.items} == {name}
    assert accounted(got)
    state = after(EMPTY, got)
    assert run(source(path), state).reasons == {"not_modified": 1}
    shuffled = [*ROWS, ROWS[2], {"question": "New?", "answer": "Yes."}]
    random.Random(1).shuffle(shuffled)
    write(path, [row for row in shuffled if row != ROWS[0]])
    second = run(source(path), state)
    assert pairs(second) == {"New?": "Yes."}
    assert second.reasons == {"unchanged": 10, "repeated": 2}
    assert len(second.gone) == 2


def test_a_chat_becomes_its_questions_and_answers(tmp_path):
    chat = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "How?"},
        {"role": "assistant", "content": "So."},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Hence."},
    ]
    rows = [{"messages": chat}, {"messages": chat[:2]}, {"messages": "no list"}]
    other = [{"conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "They."}]}]
    jsonl(tmp_path / "d" / "a.jsonl", rows)
    parquet(tmp_path / "d" / "b.parquet", other)
    got = run(source(tmp_path / "d"))
    assert pairs(got) == {"How?": "So.", "Why?": "Hence.", "Who?": "They."}
    items = {i.body: i for i in got.items}
    assert [items[t].group == items[b"How?"].item for t in (b"How?", b"So.", b"Why?", b"Hence.")] == [True] * 4
    assert (items[b"How?"].parent, items[b"Why?"].parent) == ("", items[b"So."].item)
    assert sorted((r.text, r.reason, r.measured) for r in got.rejections) == [
        ("a.jsonl", "no_chat", "row 2: no question with an answer"),
        ("a.jsonl", "no_chat", "row 3: str"),
    ]


def test_columns_can_be_named_and_an_input_belongs_to_its_instruction(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", [{"instruction": "Shorten.", "input": "A long text.", "output": "Text."}])
    assert pairs(run(source(path))) == {"Shorten.\n\nA long text.": "Text."}
    path = jsonl(tmp_path / "b.jsonl", [{"frage": "Wie?", "antwort": "So.", "text": "not this"}])
    assert pairs(run(source(path, columns={"question": "frage", "answer": "antwort"}))) == {"Wie?": "So."}
    texts = run(source(path))
    assert [(i.body, i.score) for i in texts.items] == [(b"not this", None)]
    with pytest.raises(
        UserError, match=r"b\.jsonl: columns: answer: there is no column 'x'; there are: frage, antwort"
    ):
        run(source(path, columns={"question": "frage", "answer": "x"}))


def test_a_bad_row_is_rejected_with_its_number(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [json.dumps(row).encode() for row in ROWS[:3]]
    bad = [b"{", b"[1]", b'"\xff"', b'{"question": "' + b"x" * 2_100_000 + b'"}', b"[" * 100_000]
    path.write_bytes(b"\n".join([rows[0], *bad, rows[1], b"", b'{"question": "no answer?"}', rows[2]]))
    got = run(source(path))
    assert pairs(got) == {row["question"]: row["answer"] for row in ROWS[:3]}
    assert sorted((r.measured, r.reason) for r in got.rejections) == [
        ("row 2", "not_json"),
        ("row 3: list", "no_row"),
        ("row 4: byte 1", "not_utf8"),
        ("row 5: 2100017 bytes", "too_large"),
        ("row 6", "not_json"),
        ("row 9: no answer", "empty"),
    ]
    assert accounted(got)


@pytest.mark.parametrize(("write", "name"), [(jsonl, "a.jsonl"), (parquet, "a.parquet")])
def test_a_file_that_is_cut_short_is_rejected_and_nothing_of_it_vanishes(tmp_path, write, name):
    path = write(tmp_path / "d" / name, ROWS)
    write(tmp_path / "d" / f"z{name}", ROWS[:1])
    state = after(EMPTY, run(source(tmp_path / "d")))
    path.write_bytes(path.read_bytes()[:-40])
    got = run(source(tmp_path / "d"), state)
    assert got.gone == []
    assert [(r.text, r.reason) for r in got.rejections] in ([(name, "truncated")], [(name, "unreadable")])
    write(path, ROWS[:-1])
    assert len(run(source(tmp_path / "d"), after(state, got)).gone) == 2


def test_a_night_takes_so_many_rows_and_the_next_goes_on(tmp_path):
    jsonl(tmp_path / "d" / "a.jsonl", ROWS[:4])
    parquet(tmp_path / "d" / "b.parquet", ROWS[4:])
    few, state, nights = source(tmp_path / "d", max_rows=3), EMPTY, []
    for _ in range(3):
        got = run(few, state)
        nights.append(len(pairs(got)))
        state = after(state, got)
    assert nights == [3, 3, 0]
    assert state.cursor == {}
    whole = after(EMPTY, run(source(tmp_path / "d")))
    assert (state.known, state.validators) == (whole.known, whole.validators)


def test_a_night_cut_off_goes_on_where_it_was(tmp_path, monkeypatch):
    jsonl(tmp_path / "d" / "a.jsonl", [*ROWS, ROWS[0]])
    parquet(tmp_path / "d" / "b.parquet", ROWS[:3])
    resumes_anywhere(source(tmp_path / "d", max_rows=5), monkeypatch)
    state = after(EMPTY, resumes_anywhere(source(tmp_path / "d"), monkeypatch))
    jsonl(tmp_path / "d" / "a.jsonl", [{"question": f"{n}?", "answer": "Changed."} for n in range(3)] + ROWS[3:])
    (tmp_path / "d" / "b.parquet").unlink()
    assert len(resumes_anywhere(source(tmp_path / "d"), monkeypatch, state).gone) == 12


@pytest.fixture
def saved(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    sets = {"train": datasets.Dataset.from_list(ROWS[:4]), "test": datasets.Dataset.from_list(ROWS[4:])}
    datasets.DatasetDict(sets).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def test_a_saved_data_set_is_read_by_split(saved):
    assert pairs(run(source(saved))) == ALL
    assert len(pairs(run(source(saved, split="test")))) == 2
    assert len(pairs(run(source(saved / "train")))) == 4
    with pytest.raises(UserError, match=r"^source set: split: .* has no files of 'dev'; there are: test, train\.$"):
        run(source(saved, split="dev"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A hub's cache as a download leaves it: blobs, and snapshots that link to them."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    root, commit = tmp_path / "hub" / "datasets--acme--faq", "a" * 40
    data = root / "snapshots" / commit / "data"
    data.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    for split, rows in (("train", ROWS[:4]), ("test", ROWS[4:])):
        blob = parquet(root / "blobs" / split, rows)
        (data / f"{split}-00000-of-00001.parquet").symlink_to(blob)
    return root


def test_a_data_set_by_id_comes_from_the_cache_alone(cache, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("nothing may be asked of a network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert pairs(run(source(id="acme/faq"))) == ALL
    assert len(pairs(run(source(id="acme/faq", split="train", revision="a" * 40)))) == 4
    for id_, revision in (("acme/none", "main"), ("acme/faq", "v2")):
        with pytest.raises(
            UserError, match=rf"^source set: id: {id_} \({revision}\) is not in .*; fetch it once with "
        ):
            run(source(id=id_, revision=revision))


def test_links_out_of_a_folder_are_not_followed(tmp_path):
    jsonl(tmp_path / "secret.jsonl", ROWS[3:])
    jsonl(tmp_path / "d" / "a.jsonl", ROWS[:3])
    (tmp_path / "d" / "b.jsonl").symlink_to(tmp_path / "secret.jsonl")
    assert len(pairs(run(source(tmp_path / "d")))) == 3


@pytest.mark.parametrize("settings", [{}, {"path": "x", "id": "acme/faq"}, {"id": "../x y"}, {"id": "a/b/c"}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValidationError, match=r"needs either path or id|should be owner/name"):
        source(**settings)


def test_a_file_with_faults_or_daily_changes_keeps_no_other_from_its_turn(tmp_path):
    a = jsonl(tmp_path / "d" / "a.jsonl", [{"question": f"A{n}?", "answer": "Yes."} for n in range(20)])
    jsonl(tmp_path / "d" / "b.jsonl", [{"question": f"B{n}?", "answer": "Yes."} for n in range(30)])
    a.write_text(a.read_text()[:-9])
    few, state, found = source(tmp_path / "d", max_rows=10), EMPTY, set()
    for _ in range(6):
        got = run(few, state)
        found |= set(pairs(got))
        state = after(state, got)
    assert len(found) == 19 + 30
    assert run(few, state).reasons == {"not_modified": 2}
    for night in range(8):
        jsonl(a, [{"question": f"A{n} in night {night}?", "answer": "Yes."} for n in range(20)])
        jsonl(tmp_path / "d" / "b.jsonl", [{"question": f"B{n}, anew?", "answer": "Yes."} for n in range(30)])
        os.utime(tmp_path / "d" / "b.jsonl", (1, 1))
        got = run(few, state)
        found |= set(pairs(got))
        state = after(state, got)
    assert {f"B{n}, anew?" for n in range(30)} <= found


def test_unchanged_rows_do_not_count_towards_the_nights_rows(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", ROWS)
    state = after(EMPTY, run(source(path)))
    jsonl(path, [*ROWS, {"question": "New?", "answer": "Yes."}])
    got = run(source(path, max_rows=1), state)
    assert (pairs(got), got.reasons) == ({"New?": "Yes."}, {"unchanged": 12})


def test_the_columns_are_those_of_all_first_rows_wherever_it_goes_on(tmp_path, monkeypatch):
    rows = [
        {"question": "One?", "answer": "Yes."},
        {"id": 2, "requester": "Dana Hill", "question": "Two?", "input": "Of Dana.", "answer": "Yes."},
        {"question": "Three?", "answer": "Yes."},
    ]
    path = jsonl(tmp_path / "a.jsonl", rows)
    whole = resumes_anywhere(source(path), monkeypatch)
    assert set(pairs(whole)) == {"One?", "Two?\n\nOf Dana.", "Three?"}
    assert {i.headers for i in whole.items if b"Two" in i.body} == {'{"people": ["Dana Hill"]}'}
    rows[1]["answer"] = "No."
    jsonl(path, rows)
    assert [i.body for i in run(source(path), after(EMPTY, whole)).items] == [b"No."]


@pytest.mark.parametrize("nested", [False, True])
def test_a_few_bytes_that_stand_for_gigabytes_cost_little(tmp_path, nested):
    many, big = 500, "x" * 4_000_000
    said = pa.DictionaryArray.from_arrays(pa.array([0] * many + [1], pa.int32()), pa.array([big, "small"]))
    if nested:
        turns = pa.StructArray.from_arrays([pa.array(["user"] * (many + 1)), said], ["role", "content"])
        column = pa.ListArray.from_arrays(pa.array([0, many, many + 1]), turns)
        table = pa.table({"messages": column})
    else:
        table = pa.table({"text": said})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", store_schema=False)
    assert (tmp_path / "a.parquet").stat().st_size < 5000
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from sovereign_tasks.collect.dataset import read_rows\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "rows = [getattr(row, 'reason', 'row') for _, row in read_rows(Path(sys.argv[1]), 0)]\n"
        "print(len(rows), rows.count('too_large'), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.parquet")], capture_output=True, text=True, check=True
    )
    rows, refused, kilobytes = map(int, done.stdout.split())
    assert (rows, refused) == ((2, 1) if nested else (501, 500))
    assert kilobytes < 200_000


def test_rows_of_all_types_are_measured():
    values = [
        {"a": "text", "b": 1, "c": [1, 2], "d": {"e": [{"f": "x"}]}, "g": b"bytes", "h": None},
        {"a": None, "b": None, "c": None, "d": None, "g": None, "h": None},
        {"a": "y" * 100, "b": 2, "c": [], "d": {"e": []}, "g": b"", "h": None},
    ]
    batch = pa.RecordBatch.from_pylist(values)
    assert list(arrow_rows_of(batch, 1000)) == values
    assert list(arrow_rows_of(batch.slice(1), 1000)) == values[1:]
    assert [isinstance(row, dict) for row in arrow_rows_of(batch, 90)] == [True, True, False]
    pairs_ = pa.array([[("k", "v" * 50)], None, []], pa.map_(pa.string(), pa.string()))
    fixed = pa.array([["x", "y"], ["z" * 50, ""], None], pa.list_(pa.string(), 2))
    kinds = pa.RecordBatch.from_arrays([pairs_, fixed], ["m", "f"])
    assert [isinstance(row, dict) for row in arrow_rows_of(kinds, 40)] == [False, False, True]


def test_a_night_cut_off_in_any_of_several_nights_goes_on_where_it_was(tmp_path, monkeypatch):
    for name in "abc":
        jsonl(tmp_path / "d" / f"{name}.jsonl", [{"question": f"{name}{n}?", "answer": "Yes."} for n in range(4)])
    few = source(tmp_path / "d", max_rows=5)
    state = after(EMPTY, run(few))
    assert state.cursor["first"] == "c.jsonl"
    state = after(state, resumes_anywhere(few, monkeypatch, state))
    state = after(state, run(few, state))
    assert (len(state.known), state.cursor) == (24, {})
    rows = [json.dumps({"question": f"a{n}?", "answer": "No."}) for n in range(3)]
    (tmp_path / "d" / "a.jsonl").write_text("\n".join(["{", *rows, ""]))
    assert resumes_anywhere(few, monkeypatch, state).gone == []  # any row may be the one that can't be read
