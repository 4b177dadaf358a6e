from __future__ import annotations

import os
import time

import pytest
from archive_helpers import accounted, resumes_anywhere
from collect_helpers import EMPTY, after, run

from sovereign_tasks.collect.table import TableSource
from sovereign_tasks.collect.tabular.csv_rows import delimiter_of, read_csv
from sovereign_tasks.collect.tabular.reading import Fault
from sovereign_tasks.collect.tabular.times import readings, when
from sovereign_tasks.errors import UserError


def source(path, **settings):
    return TableSource(name="desk", kind="table", path=str(path), licence="owner", consent="contract", **settings)


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def pairs(got):
    """Question to answer, through the answer's parent."""
    items = {i.item: i for i in got.items}
    return {items[i.parent].body.decode(): i.body.decode() for i in got.items if i.score == 1}


PAIRS = "Question;Answer;Customer Name\nHow do I drain it?;Open the valve.;Dana Hill\nWhy; loud?;Oil it.;Kim Ode\n"


def test_a_row_of_question_and_answer_is_two_items_with_a_parent(tmp_path):
    path = write(tmp_path / "faq.csv", 'id,question,answer\n7,"How, then?","Open the ""red"" valve.\nThen wait."\n')
    got = run(source(path))
    question, answer = sorted(got.items, key=lambda i: i.score)
    assert (question.body, question.parent, question.group, question.score) == (b"How, then?", "", question.item, 0)
    assert answer.body == b'Open the "red" valve.\nThen wait.'
    assert (answer.parent, answer.group, answer.score) == (question.item, question.item, 1)
    assert question.address == answer.address == "faq.csv"
    assert accounted(got)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_and_delimiters_are_found(tmp_path, encoding):
    text = "Frage\tAntwort\nWie groß ist die Höhle?\tSehr groß, und außerdem kühl.\n"
    path = write(tmp_path / "faq.tsv", text, encoding)
    got = run(source(path, columns={"question": "Frage", "answer": "antwort"}))
    assert pairs(got) == {"Wie groß ist die Höhle?": "Sehr groß, und außerdem kühl."}


def test_a_table_in_an_old_encoding_is_read(tmp_path):
    rows = "".join(f"Wie groß ist Höhle {n}?;Die Höhle {n} ist größer, als früher üblich war.\n" for n in range(20))
    got = run(source(write(tmp_path / "faq.csv", "question;answer\n" + rows, "cp1252")))
    assert pairs(got)["Wie groß ist Höhle 3?"] == "Die Höhle 3 ist größer, als früher üblich war."


def test_people_of_the_columns_are_named_for_scrubbing(tmp_path):
    got = run(source(write(tmp_path / "a.csv", PAIRS.replace("Why; loud", "Why loud"))))
    assert {(i.headers, i.author) for i in got.items if b"drain" in i.body} == {
        ('{"people": ["Dana Hill"]}', "Dana Hill")
    }
    assert {i.headers for i in got.items if b"valve" in i.body} == {'{"people": ["Dana Hill"]}'}


def test_a_broken_row_is_rejected_with_its_number_and_the_others_are_read(tmp_path):
    text = (
        "question,answer\nOne?,first\n"
        'Two?,"never closed\nThree?,"third","extra"\nFour?,"fourth"\n'
        'Five?,"fif"th\nSix?,sixth,seventh\nSeven?,\nEight?,nul\0\nNine?,last\n'
    )
    path = write(tmp_path / "a.csv", text)
    got = run(source(path))
    assert pairs(got) == {"One?": "first", "Four?": "fourth", "Nine?": "last"}
    assert sorted((r.reason, r.measured, r.text) for r in got.rejections) == [
        ("empty", "row 8: no answer", "a.csv"),
        ("nul_bytes", "row 9", "a.csv"),
        ("quoting", "row 3: line 3", "a.csv"),
        ("quoting", "row 6: line 6", "a.csv"),
        ("ragged", "row 4: 3 of 2 columns", "a.csv"),
        ("ragged", "row 7: 3 of 2 columns", "a.csv"),
    ]
    assert accounted(got)


def test_a_huge_field_a_torn_byte_and_a_file_of_bytes_harm_nothing_else(tmp_path):
    write(tmp_path / "t" / "a.csv", "question,answer\nOne?,first\nTwo?," + "x" * 1_100_000 + "\nThree?,third\n")
    body = b"question,answer\n" + b"Fine?,surely it is\n" * 500 + b"Torn?,a\xffb\n"
    (tmp_path / "t" / "b.csv").write_bytes(body)
    (tmp_path / "t" / "c.csv").write_bytes(bytes(range(256)) * 40)
    write(tmp_path / "t" / "d.csv", "question,answer\n" + "y" * 3000)
    got = run(source(tmp_path / "t" / "*.csv", max_bytes=2_000_000))
    assert pairs(got) == {"One?": "first", "Three?": "third", "Fine?": "surely it is"}
    assert {(r.text, r.reason) for r in got.rejections} >= {("a.csv", "too_large"), ("b.csv", "not_utf8")}
    assert {r.text for r in got.rejections} == {"a.csv", "b.csv", "c.csv", "d.csv"}
    assert run(source(tmp_path / "t" / "a.csv", max_bytes=100)).reasons == {"too_large": 1}


def test_quotes_that_never_close_cost_little():
    text = "a,b\n" + '"1,aaa\n' * 4001
    began = time.process_time()
    rows = list(read_csv(text))
    assert all(isinstance(row, Fault) or len(row) > 1 for _, row in rows)
    assert time.process_time() - began < 20
    assert delimiter_of("a;b;c\n1;2,3;4,5\n") == ";"
    assert delimiter_of("text\nhello, you\nand, you\n") == ","


MESSAGES = """ticket id,message id,created at,author,direction,message,subject
T1,m3,2024-01-03 10:00:00,Dana Hill,inbound,And how long does it take?,
T1,m1,2024-01-01 10:00:00,Dana Hill,inbound,How do I drain the boiler?,Draining
T1,m2,2024-01-02 10:00:00,Ann Agent,outbound,Open the red valve at the bottom.,
T1,m4,2024-01-04 10:00:00,Ann Agent,outbound,About an hour.,
T2,m5,2024-01-04 11:00:00,Ann Agent,outbound,Your order is on its way.,Order
T2,m6,2024-01-05 11:00:00,Kim Ode,inbound,Thanks!,
"""


def test_messages_of_a_thread_in_any_order_become_questions_and_answers(tmp_path):
    path = write(tmp_path / "messages.csv", MESSAGES)
    got = run(source(path))
    assert pairs(got) == {
        "How do I drain the boiler?": "Open the red valve at the bottom.",
        "And how long does it take?": "About an hour.",
    }
    by_text = {i.body.decode(): i for i in got.items}
    root, later = by_text["How do I drain the boiler?"], by_text["And how long does it take?"]
    assert (root.parent, root.group, root.title, root.score) == ("", root.item, "Draining", 0)
    assert (later.group, later.score) == (root.item, 0)
    assert later.parent == by_text["Open the red valve at the bottom."].item
    sent = by_text["Your order is on its way."]
    assert (sent.parent, sent.score) == ("", 0)
    assert by_text["Thanks!"].parent == sent.item
    assert root.headers == '{"people": ["Ann Agent", "Dana Hill"]}'
    named = run(source(path, own=["ann agent"], columns={"side": "author", "author": "author"}))
    assert pairs(named) == pairs(got)


def test_a_text_alone_is_one_item_and_html_of_a_ticket_becomes_text(tmp_path):
    notes = "Note Body\n<p>Called about the <b>pump</b>.</p><p>Sent one &amp; left.</p>\n2 < 3\nPut `<br>` there\n"
    got = run(source(write(tmp_path / "notes.csv", notes)))
    assert sorted((i.body, i.score, i.media_type) for i in got.items) == [
        (b"2 < 3", None, "text/plain"),
        (b"Called about the pump.\n\nSent one & left.", None, "text/plain"),
        (b"Put `<br>` there", None, "text/plain"),
    ]


def test_an_unknown_header_or_column_is_one_sentence_with_the_columns_there_are(tmp_path):
    path = write(tmp_path / "a.csv", "wann,wer\n1,2\n")
    with pytest.raises(UserError, match=r"^source desk: .*a\.csv: no column is known .*: wann, wer\.$"):
        run(source(path))
    with pytest.raises(UserError, match=r"columns: text: there is no column 'was'; there are: wann, wer\.$"):
        run(source(path, columns={"text": "was"}))
    with pytest.raises(UserError, match=r"^source desk: path: .* does not exist; .*\.$"):
        run(source(tmp_path / "absent.csv"))
    write(tmp_path / "odd" / os.fsdecode(b"pr\xfcf.csv"), "question,answer\nQ,A\n")
    with pytest.raises(UserError, match=r"the name of a file below .*/odd is no plain text; rename the file\.$"):
        run(source(tmp_path / "odd"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no .csv or .tsv file"):
        run(source(tmp_path / "empty"))


def test_the_second_night_takes_what_changed_and_lets_go_what_is_gone(tmp_path):
    a = write(tmp_path / "t" / "a.csv", "id,question,answer\n1,One?,first\n2,Two?,second\n3,Three?,third\n")
    b = write(tmp_path / "t" / "b.csv", "question,answer\nFour?,fourth\n")
    desk = source(tmp_path / "t")
    first = run(desk)
    state = after(EMPTY, first)
    again = run(desk, state)
    assert (again.items, again.reasons, again.validators) == ([], {"not_modified": 2}, [])
    write(a, "id,question,answer\n3,Three?,third\n1,One?,changed\n")
    b.unlink()
    second = run(desk, state)
    by_item = {i.item: i.body for i in first.items}
    assert [(i.body, by_item[i.parent]) for i in second.items] == [(b"changed", b"One?")]
    assert sorted(by_item[g.item] for g in second.gone) == [b"Four?", b"Two?", b"fourth", b"second"]
    state = after(state, second)
    write(b, "question,answer\nFour?,fourth\n")
    assert {i.body for i in run(desk, state).items} == {b"Four?", b"fourth"}


def test_a_wanted_item_and_other_columns_are_read_anew_from_an_untouched_file(tmp_path):
    path = write(tmp_path / "a.csv", "question,answer,better\nOne?,first,best\nTwo?,second,good\n")
    state = after(EMPTY, run(source(path)))
    lost = next(v for v in state.validators if v != "a.csv")
    state.validators.pop(lost)
    assert [i.item for i in run(source(path), state).items] == [lost]
    other = run(source(path, columns={"answer": "better"}), state)
    assert pairs(other) == {"One?": "best", "Two?": "good"}


def test_the_same_row_twice_is_counted_and_one_id_for_two_rows_is_a_fault(tmp_path):
    path = write(tmp_path / "a.csv", "id,text\n1,one\n1,one\n1,other\n2,two\n")
    got = run(source(path))
    assert [i.body for i in sorted(got.items, key=lambda i: i.body)] == [b"one", b"two"]
    assert got.reasons == {"repeated": 1, "id_twice": 1}


@pytest.mark.parametrize("cut", [lambda b: b[:-9], lambda b: b[:-19], lambda b: b"\x00\x9f" * 900])
def test_a_file_half_copied_over_keeps_what_was_known(tmp_path, cut):
    text = 'question,answer\nOne?,first\nTwo?,"second,\nin two lines"\nThree?,third\n'
    path = write(tmp_path / "a.csv", text)
    state = after(EMPTY, run(source(path)))
    path.write_bytes(cut(path.read_bytes()))
    got = run(source(path), state)
    assert got.gone == []
    assert {r.reason for r in got.rejections} & {"truncated", "not_text", "header"}
    write(path, "question,answer\nOne?,first\n")
    assert len(run(source(path), after(state, got)).gone) == 4


def test_a_night_cut_off_goes_on_where_it_was(tmp_path, monkeypatch):
    text = "id,question,answer\n" + "".join(f"{n},Q{n}?,answer {n}\n" for n in range(4))
    write(tmp_path / "t" / "a.csv", text)
    write(tmp_path / "t" / "b.csv", text.replace("answer 2", "another"))
    write(tmp_path / "t" / "c.csv", MESSAGES)
    desk = source(tmp_path / "t")
    state = after(EMPTY, resumes_anywhere(desk, monkeypatch))
    write(tmp_path / "t" / "a.csv", text.replace(",answer ", ",new ").replace("2,Q2?,new 2\n", ""))
    (tmp_path / "t" / "b.csv").unlink()
    assert resumes_anywhere(desk, monkeypatch, state).gone


def test_settings_have_the_privacy_of_mail():
    assert (source("x").retention_days, source("x").profile) == (7, "qa")


def test_a_row_that_cannot_be_read_is_not_taken_for_deleted(tmp_path):
    text = "id,question,answer\n1,One?,first\n2,Two?,second\n3,Three?,third\n"
    path = write(tmp_path / "a.csv", text)
    state = after(EMPTY, run(source(path)))
    write(path, text.replace("2,Two?,second", '2,"Two?,second').replace("3,Three?,third\n", ""))
    got = run(source(path), state)
    assert (got.gone, got.reasons) == ([], {"quoting": 1, "unchanged": 2})
    state = after(state, got)
    assert run(source(path), state).reasons == {"not_modified": 1}
    write(path, text.replace("3,Three?,third\n", "4,Four?,\n"))
    assert len(run(source(path), state).gone) == 2


def test_a_file_with_a_fault_is_rejected_once_until_it_changes(tmp_path):
    write(tmp_path / "t" / "a.csv", 'question,answer\nOne?,first\nTwo?,"second')
    write(tmp_path / "t" / "b.csv", "question,answer\n" + "Three?,third\n" * 100)
    first = run(source(tmp_path / "t", max_bytes=500))
    assert sorted(r.reason for r in first.rejections) == ["too_large", "truncated"]
    state = after(EMPTY, first)
    assert run(source(tmp_path / "t", max_bytes=500), state).reasons == {"not_modified": 2}
    assert pairs(run(source(tmp_path / "t", max_bytes=5000), state)) == {"Three?": "third"}


def test_a_pattern_passes_over_hidden_files_and_those_of_other_kinds(tmp_path):
    for name in ("a.csv", "._a.csv", ".b/a.csv", "c/a.csv"):
        write(tmp_path / name, f"question,answer\n{name}?,yes\n")
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8")
    assert set(pairs(run(source(tmp_path / "*")))) == {"a.csv?"}
    assert set(pairs(run(source(tmp_path / "**" / "*")))) == {"a.csv?", "c/a.csv?"}


@pytest.mark.parametrize("pattern", ["", "*/*.csv", "**/*.csv"])
def test_a_folder_that_cannot_be_read_deletes_nothing(tmp_path, monkeypatch, pattern):
    for name in ("a/a.csv", "b/b.csv"):
        write(tmp_path / "t" / name, f"question,answer\n{name}?,yes\n")
    real, closed = os.scandir, str(tmp_path / "t" / "b")

    def scandir(path):
        if str(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match=r"^source desk: path: .*/t[^b]* can't be read .* \(Permission denied\); .*\.$"):
        run(source(tmp_path / "t" / pattern))


def thread(*rows):
    return "thread,created at,side,text\n" + "".join(f"{row}\n" for row in rows)


@pytest.mark.parametrize(
    "times",
    [
        ("3/14/2026 9:15 AM", "3/14/2026 12:05 PM", "3/14/2026 2:15 PM", "3/14/2026 3:20 PM"),
        ("14.03.2026 14:15", "14.03.2026 14:16", "14.3.26 14:17:30", "14.03.2026 15:00"),
        ("14/03/2026 08:00", "01/04/2026 08:00", "02/04/2026 08:00", "03/05/2026 07:00"),
        ("2026-03-14T14:15:00+02:00", "2026-03-14T13:00:00Z", "2026-03-14 13:01:00 +0000", "2026-03-14 13:02 UTC"),
        ('"Mar 14, 2026 2:15 PM"', "14 March 2026 14:20", '"Sat, 14 Mar 2026 14:25:00 +0000"', '"April 2nd, 2026"'),
        ("1773497700", "1773497800000", "2026/03/14 14:30", "2026-03-15"),
        ("3/4/2026 9:15 AM", "3/4/2026 9:25 AM", "3/4/2026 9:25 PM", "3/5/2026 1:00 AM"),  # in order either way
    ],
)
def test_messages_are_in_the_order_of_their_times_however_these_are_written(tmp_path, times):
    said = (("agent", "A2"), ("customer", "Q2"), ("agent", "A1"), ("customer", "Q1"))
    rows = [f"T,{time},{side},{text}" for time, (side, text) in zip(reversed(times), said, strict=True)]
    got = run(source(write(tmp_path / "a.csv", thread(*rows))))
    assert pairs(got) == {"Q1": "A1", "Q2": "A2"}
    unsure = times[0].startswith("3/4/2026")
    assert [i.created_at is None for i in got.items] == [unsure] * 4


@pytest.mark.parametrize(
    "rows",
    [
        ["T,3/11/2026,customer,Q", "T,4/10/2026,agent,A"],  # of March and April, or of October and November
        ["T,yesterday,agent,A", "T,today,customer,Q"],
        ["T,2026-03-14,agent,A", "T,,customer,Q"],
        ["T,2026-03-14,agent,A", "T,2026-03-14,customer,Q"],
        ["T,2026-03-14,agent,A", "T,2026-03-14,customer,Q", "U,2026-03-15,agent,B", "U,2026-03-14,customer,R"],
        ["T,2026-03-14,customer,Q", "T,2026-03-14,agent,A", "U,2026-03-15,agent,B", "U,2026-03-14,customer,R"],
    ],
)
def test_a_thread_whose_order_is_unknown_is_rejected(tmp_path, rows):
    got = run(source(write(tmp_path / "a.csv", thread(*rows, "V,soon,customer,alone"))))
    others = {"R": "B"} if len(rows) > 2 else {}
    assert (pairs(got), got.reasons) == (others, {"no_time": 2})
    assert b"alone" in {i.body for i in got.items}
    assert accounted(got)


def test_rows_of_one_time_are_in_order_where_all_others_are(tmp_path):
    rows = ["U,2026-03-14,customer,R", "U,2026-03-15,agent,B", "T,2026-03-14,customer,Q", "T,2026-03-14,agent,A"]
    assert pairs(run(source(write(tmp_path / "a.csv", thread(*rows))))) == {"R": "B", "Q": "A"}
    no_times = [",".join([*row.split(",")[:1], "", *row.split(",")[2:]]) for row in rows]
    assert pairs(run(source(write(tmp_path / "b.csv", thread(*no_times))))) == {"R": "B", "Q": "A"}


@pytest.mark.parametrize(
    "text", ["14:15", "26-03-14 10:00", "13/13/2026", "1/2/2026 14:15 PM", "31.02.2026", "", "a" * 99]
)
def test_what_is_no_plain_time_is_none(text):
    assert when(text) is None


def test_a_column_says_whether_the_day_comes_first():
    assert (readings(["3/4/2026", "3/14/2026"]), readings(["3/4/2026", "14/3/2026"])) == ((False,), (True,))
    assert (readings(["3/3/2026"]), readings(["14/3/2026", "3/14/2026"])) == ((False, True), (None,))
    assert when("3/4/2026", True).month == 4


@pytest.mark.parametrize("name", ["Ticket ID", "Record ID"])
def test_an_id_that_is_not_a_messages_is_not_taken_for_one(tmp_path, name):
    rows = "c1,t1,customer,Q\nc1,t1,agent,A\nc2,t2,customer,R\nc2,t2,agent,B\n"
    text = f"Conversation ID,{name},Author Type,Message\n{rows}"
    got = run(source(write(tmp_path / "a.csv", text)))
    assert (pairs(got), got.reasons) == ({"Q": "A", "R": "B"}, {})
    stated = run(source(tmp_path / "a.csv", columns={"id": name}))
    assert stated.reasons == {"id_twice": 2}


@pytest.mark.parametrize(
    ("name", "yes", "no"), [("Public", "false", "true"), ("is_private", "1", "0"), ("Internal", "x", "")]
)
def test_internal_notes_are_left_out(tmp_path, name, yes, no):
    rows = f"T,customer,Q,{no}\nT,agent,she never pays,{yes}\nT,agent,A,{no}\n"
    got = run(source(write(tmp_path / "a.csv", f"thread,side,text,{name}\n{rows}")))
    assert (pairs(got), got.reasons) == ({"Q": "A"}, {"private": 1})
    got = run(source(write(tmp_path / "b.csv", f"question,answer,{name}\nQ,A,{no}\nR,B,{yes}\n")))
    assert (pairs(got), got.reasons) == ({"Q": "A"}, {"private": 1})


@pytest.mark.parametrize(
    "first",
    ["Dana Hill;dana@home.example;leaks", "Dana Hill;015123456789;leaks", "Dana Hill;How do I drain it?;Slowly"],
)
def test_a_table_without_a_header_puts_nobody_into_the_message(tmp_path, first):
    path = write(tmp_path / "a.csv", f"{first}\nKim Ode;b;c\n")
    for columns in ({}, {"text": "words"}):
        with pytest.raises(UserError, match=r"the first row seems to be no header; add one\.$") as said:
            run(source(path, columns=columns))
        assert "Dana" not in str(said.value)
    wide = write(tmp_path / "b.csv", ";".join(f"column {n}" for n in range(40)) + "\n")
    with pytest.raises(UserError, match=r"column 11, \.\.\.\.$"):
        run(source(wide))
