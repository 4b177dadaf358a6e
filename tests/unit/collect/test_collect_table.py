from __future__ import annotations

import time

import pytest
from archive_helpers import accounted, resumes_anywhere
from collect_helpers import EMPTY, after, run

from sovereign_tasks.collect.table import TableSource
from sovereign_tasks.collect.tabular.csv_rows import delimiter_of, read_csv
from sovereign_tasks.collect.tabular.reading import Fault
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
    assert (source("x").retention_days, source("x").profile) == (7, "forum")
