"""What was not scrubbed yet is neither in a failure's words nor in its log, and custody keeps nobody's name."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from sovereign_tasks.errors import TransientError
from sovereign_tasks.ledger import open_ledger
from sovereign_tasks.records import RawItem, keyed_hash
from sovereign_tasks.stages import curation, gather
from sovereign_tasks.stages.context import Unforeseen, keep_failure, open_context
from sovereign_tasks.stages.rows import without_people

WORDS = "Marisol Vantongeren"
KIND = f"""
from typing import Literal
from sovereign_tasks.sources import SourceConfig

WORDS = {WORDS.split()}

class Quoting(SourceConfig):
    kind: Literal["quoting"]
    fault: Literal["file", "text"]

def collect(source, night):
    if source.fault == "file":
        raise PermissionError(13, "Permission denied", " ".join(WORDS))
    raise ValueError(" ".join(WORDS))
"""


@pytest.fixture
def quoting(tmp_path: Path, documents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sources more, of a kind that fails in the words of what it reads."""
    (tmp_path / "quoting.py").write_text(KIND)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "quoting", raising=False)
    (tmp_path / "config" / "platform.yaml").write_text('source_kinds: {quoting: "quoting:Quoting"}\n')
    path = tmp_path / "config" / "siding.yaml"
    more = "".join(
        f"  - {{name: {fault}s, kind: quoting, fault: {fault}, licence: o, consent: c}}\n" for fault in ("file", "text")
    )
    path.write_text(path.read_text().replace("sources:\n", f"sources:\n{more}"))


def jobs() -> dict[str, dict]:
    return {job["source"]: job for job in gather.begin("siding", "one")}


def told(state: Path, job: dict) -> dict[str, str]:
    return open_ledger(state).failures("siding", job["build_id"])


def test_a_collector_that_fails_is_not_quoted(state: Path, quoting: None, caplog: pytest.LogCaptureFixture) -> None:
    job = jobs()["files"]
    with pytest.raises(TransientError, match=r"collect:files failed with PermissionError") as raised:
        gather.collect(job, last_try=False)
    assert raised.value.__suppress_context__
    failed = [gather.collect(job)["failed"], gather.collect(jobs()["texts"], last_try=False)["failed"]]
    assert failed == [
        "collect:files failed with PermissionError; its log is in the Airflow UI.",
        "collect:texts failed with ValueError; its log is in the Airflow UI.",
    ]
    assert list(told(state, job).values()) == failed[::-1]
    assert "in collect\n" in caplog.text
    assert WORDS not in caplog.text


@pytest.mark.parametrize(("error", "kind"), [(ValueError, Unforeseen), (OSError, TransientError)])
def test_a_curator_that_fails_is_not_quoted(
    state: Path,
    documents: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
    kind: type[Exception],
) -> None:
    def fail(*_: object) -> None:
        raise error(f"no {WORDS}")

    job = gather.collect(jobs()["house"])
    monkeypatch.setattr("sovereign_tasks.curate.cleaning.find_people", fail)
    with pytest.raises(kind) as raised:
        curation.curate(job)
    assert str(raised.value) == f"curate:house failed with {error.__name__}; its log is in the Airflow UI."
    assert raised.value.__suppress_context__
    assert told(state, job)["curate:house"] == str(raised.value)
    assert "in fail\n" in caplog.text
    assert WORDS not in caplog.text


def test_a_training_that_fails_is_quoted_in_its_log(state: Path, documents: Path) -> None:
    with pytest.raises(ValueError, match="out of memory"), keep_failure(open_context("siding", "r"), "train"):
        raise ValueError("out of memory")
    assert open_ledger(state).failures("siding", "r")["train"].startswith("train failed with ValueError;")


def test_the_ledger_s_errors_do_not_quote_what_it_was_given(state: Path) -> None:
    with pytest.raises(OperationalError) as raised, open_ledger(state).engine.begin() as c:
        c.exec_driver_sql("INSERT INTO nowhere VALUES (?)", (WORDS,))
    assert WORDS not in str(raised.value)


def test_custody_keeps_no_name(state: Path) -> None:
    item = RawItem(
        "house", "files", "", "", "", "", b"", "text/plain", "", "", "", None, None, datetime.now(UTC), "o", "c", ""
    )
    web = "https://shop.example/guide"
    items = [
        replace(item, address=f"clients/{WORDS}'s letter.md", headers='{"content-type": "text/markdown"}'),
        replace(item, address=f"{web}?email=hector@mail.example.org", headers=json.dumps({"people": [WORDS]})),
        replace(item, address=f"{web}/Dana Whitlock", author="Dana Whitlock", headers="{}"),
        replace(item, address=web, item=f"{web}?guid=hector@mail.example.org", headers="{}"),
        replace(item, address=web, item="tag:ann.smith@mail.example.org,2011:guide", headers="{}"),
    ]
    raw = RawItem.to_table(items)
    custody = without_people(raw.add_column(0, "doc_id", [[i.doc_id for i in items]])).to_pylist()
    assert [row["address"] for row in custody] == [
        keyed_hash("address", "house", items[0].address),
        f"{web}?email=[EMAIL_1]",
        f"{web}/[NAME_1]",
        web,
        web,
    ]
    hidden = keyed_hash("item", "house", items[4].item)
    assert [row["item"] for row in custody] == ["", "", "", f"{web}?guid=[EMAIL_1]", hidden]
    assert [row["headers"] for row in custody] == [items[0].headers, *["{}"] * 4]
    assert [row["doc_id"] for row in custody] == [i.doc_id for i in items]
