from __future__ import annotations

import email
import os
import tracemalloc
from collections import Counter
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest
from collect_helpers import EMPTY, NOW, after, reasons, run
from pydantic import ValidationError

from sovereign_tasks.collect import collect, night
from sovereign_tasks.collect.mail import MailSource
from sovereign_tasks.collect.mail import folder as mail_folder
from sovereign_tasks.collect.mail.letter import Owners, plain_subject, read_letter
from sovereign_tasks.collect.mail.threads import Node, link
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.records import SourceState, Validator, keyed_hash
from tests.unit.mail_corpus import OWN, Corpus, entry, make_corpus

TERMS = {"name": "letters", "kind": "mail", "licence": "owner", "consent": "contract"}


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return make_corpus()


@pytest.fixture(scope="session")
def small() -> Corpus:
    return make_corpus(seed=5, size=200)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "post"
    folder.mkdir()
    return folder


def source(folder: Path | str, **settings: object) -> MailSource:
    return MailSource.model_validate({**TERMS, "folder": str(folder), "own": [f"@{OWN}"], **settings})


def letter(number: int = 1, text: str = "How steep must it be?", **headers: str) -> bytes:
    """A customer's message; `headers` come with _ for - and replace what it has, None leaves one out."""
    message = EmailMessage()
    fields = {
        "From": "Ava Keller <ava.keller@post.example>",
        "To": f"support@{OWN}",
        "Date": f"Mon, 06 Jan 2025 08:{number:02}:00 +0000",
        "Subject": "Pitch",
        "Message-ID": f"<{number}@post.example>",
    }
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    message.set_content(text)
    for name, value in fields.items():
        if value is not None:
            message[name] = value
    return message.as_bytes()


def answer(number: int, to: int | None, text: str = "At least seven degrees.", **headers: str) -> bytes:
    named = {"In_Reply_To": f"<{to}@post.example>", "References": f"<{to}@post.example>"} if to else {}
    people = {"From": f"Dana Hill <dana@{OWN}>", "To": "Ava Keller <ava.keller@post.example>", "Subject": "Re: Pitch"}
    return letter(number, text, **{**people, **named, **headers})


def hashed(number: int | str) -> str:
    """The item of a message by its number, or by its id."""
    return keyed_hash("message id", f"{number}@post.example" if isinstance(number, int) else number)


def numbers(rows) -> list[int | str]:
    """The numbers of the messages that rows tell of, in their order; of what is attached to them, its item's end."""
    plain = {hashed(n): n for n in range(1, 100)}
    found = [(row.item if hasattr(row, "item") else row) for row in rows]
    return sorted((plain[i] if i in plain else i[32:] for i in found), key=str)


def threads(got) -> dict[str, tuple[str, str, int]]:
    plain = {hashed(n): f"{n}@post.example" for n in range(1, 100)} | {"": ""}
    return {plain[i.item]: (plain[i.parent], plain[i.group], i.score) for i in got.items}


def live(state: SourceState) -> list[str]:
    return [item for _, item in state.known]


def test_threads_and_pairs_of_a_generated_mailbox(corpus, folder):
    corpus.write(folder)
    got = run(source(folder))
    numbers = {i.item: int(email.message_from_bytes(i.body)["X-Number"]) for i in got.items}
    items = {i.item: i for i in got.items}
    assert sorted(numbers.values()) == sorted(m.number for m in corpus.sent if m.here)
    found = {
        (numbers[i.parent], numbers[i.item])
        for i in got.items
        if i.score == 1 and i.parent in items and items[i.parent].score == 0
    }
    true = corpus.pairs
    recall, precision = len(found & true) / len(true), len(found & true) / len(found)
    groups = {}
    for i in got.items:
        groups.setdefault(i.group, set()).add(numbers[i.item])
    whole = {}
    for m in corpus.sent:
        if m.here:
            whole.setdefault(m.thread, set()).add(m.number)
    right = sum(members in groups.values() for members in whole.values())
    print(f"\n{len(true)} pairs, recall {recall:.4f}, precision {precision:.4f}; threads {right} of {len(whole)} whole")
    assert recall > 0.98
    assert precision > 0.98
    assert right > 0.97 * len(whole)
    assert got.reasons == {**Counter(reason for reason, _ in corpus.noise), "duplicate": len(corpus.copies)}
    assert got.rows == len(got.items) + sum(got.reasons.values())


def test_an_untouched_mailbox_costs_nothing_and_a_grown_one_only_what_is_new(small, folder):
    small.write(folder)
    first = run(source(folder))
    state = after(EMPTY, first)
    second = run(source(folder), state)
    assert second.items == second.gone == second.validators == []
    assert second.reasons == {"not_modified": 2}
    with (folder / "Inbox.mbox").open("ab") as mbox:
        mbox.write(entry(letter(1)))
    third = run(source(folder), after(state, second))
    assert numbers(third.items) == [1]
    assert third.reasons == {"not_modified": 1}


def test_a_rewritten_mbox_doubles_nothing_and_deleted_messages_vanish(folder):
    mbox = folder / "a.mbox"
    mbox.write_bytes(b"".join(entry(letter(n)) for n in range(1, 6)))
    state = after(EMPTY, run(source(folder)))
    kept = [letter(n, X_Status="RO") if n == 4 else letter(n) for n in (5, 1, 4, 3)]
    mbox.write_bytes(b"".join(map(entry, kept)))
    got = run(source(folder), state)
    assert got.items == []
    assert numbers(got.gone) == [2]
    assert got.reasons == {"unchanged": 4}
    state = after(state, got)
    mbox.rename(folder / "b.mbox")
    moved = run(source(folder), state)
    assert moved.items == moved.gone == []
    (folder / "b.mbox").unlink()
    (folder / "empty.mbox").touch()
    assert len(run(source(folder), after(state, moved)).gone) == 4


def test_a_copy_keeps_a_message_when_the_other_goes(folder):
    for name in ("a.eml", "b.eml"):
        (folder / name).write_bytes(letter(1))
    state = after(EMPTY, run(source(folder)))
    (folder / "a.eml").unlink()
    got = run(source(folder), state)
    assert got.items == got.gone == []


def test_a_late_question_gathers_the_answers_that_came_before(folder):
    (folder / "sent.mbox").write_bytes(entry(answer(2, 1)) + entry(answer(4, 1, References="<1@post.example>")))
    first = run(source(folder))
    assert threads(first) == {
        "2@post.example": ("", "2@post.example", 1),
        "4@post.example": ("1@post.example", "2@post.example", 1),  # one thread, for both name what is missing
    }
    state = after(EMPTY, first)
    (folder / "inbox.mbox").write_bytes(entry(letter(1)))
    second = run(source(folder), state)
    assert threads(second) == {
        "1@post.example": ("", "1@post.example", 0),
        "2@post.example": ("1@post.example", "1@post.example", 1),
        "4@post.example": ("1@post.example", "1@post.example", 1),
    }
    assert second.gone == []
    state = after(state, second)
    assert run(source(folder), state).items == []
    (folder / "inbox.mbox").unlink()
    third = run(source(folder), state)
    assert numbers(third.gone) == [1]
    assert threads(third) == threads(first)


@pytest.mark.parametrize("parts", range(1, 34, 3))
def test_a_killed_collection_ends_in_the_same_state(small, folder, monkeypatch, parts):
    monkeypatch.setattr(night, "PART_ITEMS", 5)
    small.write(folder)
    settings = source(folder, max_messages=180)
    whole = run(settings)
    state = after(EMPTY, whole)
    assert parts < len(whole.parts)
    cut = run(settings, stop_after=parts)
    between = after(EMPTY, cut)
    rest = run(settings, between)
    items = [i.item for i in [*cut.items, *rest.items]]
    assert sorted(items) == sorted(i.item for i in whole.items)
    assert after(between, rest) == state
    nights = [run(settings, state)]
    assert len({*items, *(i.item for i in nights[0].items)}) == sum(m.here for m in small.sent)


def test_a_long_mailbox_comes_over_several_nights(small, folder):
    small.write(folder)
    state, items, nights = EMPTY, {}, 0
    while nights < 20:
        got = run(source(folder, max_messages=30), state)
        items |= {i.item: (i.parent, i.group) for i in got.items}
        state, nights = after(state, got), nights + 1
        if not got.notes.get("more_waiting"):
            break
    assert nights == -(-(sum(m.here for m in small.sent) + len(small.noise)) // 30)
    assert items == {i.item: (i.parent, i.group) for i in run(source(folder)).items}


def test_mail_files_of_every_kind(folder):
    for part in ("cur", "new", "tmp"):
        (folder / "Support" / part).mkdir(parents=True)
    (folder / "Support" / "cur" / "17.M1.host:2,S").write_bytes(letter(1))
    (folder / "Support" / "new" / "18.M2.host").write_bytes(letter(2))
    (folder / "Support" / "tmp" / "19.M3.host").write_bytes(letter(3))
    (folder / "Support" / "dovecot.index.log").write_bytes(b"x")
    (folder / "one.eml").write_bytes(letter(4).replace(b"\n", b"\r\n"))
    (folder / "Archive").write_bytes(entry(letter(5)))
    (folder / "note.pdf").write_bytes(b"%PDF")
    (folder / "wrong.mbox").write_bytes(b"nothing of the kind")
    (folder / "pipe").symlink_to("/dev/null")
    first = run(source(folder))
    assert numbers(first.items) == [1, 2, 4, 5]
    assert {i.address for i in first.items} == {"mail:post"}
    assert {r.text: r.reason for r in first.rejections} == {
        "note.pdf": "content_type",
        "wrong.mbox": "unreadable",
        "pipe": "outside_folder",
    }
    state = after(EMPTY, first)
    (folder / "Support" / "new" / "18.M2.host").rename(folder / "Support" / "cur" / "18.M2.host:2,RS")
    (folder / "one.eml").write_bytes(letter(4, "How flat can it be?"))
    second = run(source(folder), state)
    assert [(i.item, b"flat" in i.body) for i in second.items] == [(hashed(4), True)]
    assert second.gone == []


def test_where_a_message_begins_in_an_mbox(folder):
    text = "Dear all,\n\nFrom here on it leaks.\n\nFrom Ulm 10:15 you can come by train.\n\n>From me"
    (folder / "a.mbox").write_bytes(entry(letter(1, text)).replace(b">From Ulm", b"From Ulm") + entry(letter(2)))
    got = run(source(folder))
    assert numbers(got.items) == [1, 2]
    bodies = {i.item: i.body for i in got.items}
    assert email.message_from_bytes(bodies[hashed(1)]).get_payload().strip() == text


def test_a_message_that_was_still_arriving_comes_whole_later(folder):
    whole = entry(letter(1, "One line.\n\nAnother line."))
    (folder / "a.mbox").write_bytes(whole[:-16])
    state = after(EMPTY, run(source(folder)))
    (folder / "a.mbox").write_bytes(whole + entry(letter(2)))
    got = run(source(folder), state)
    assert {i.item: b"Another line." in i.body for i in got.items} == {hashed(1): True, hashed(2): False}
    assert got.gone == []


def test_a_large_mbox_is_not_held_in_memory(folder):
    head = f"From: a@post.example\nTo: support@{OWN}\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nShort.\n--b\n"
    body = head.encode() + b"Content-Type: image/png\n\n" + (b"x" * 998 + b"\n") * 2100 + b"--b--\n"
    with (folder / "large.mbox").open("wb") as mbox:
        for n in range(25):
            mbox.write(entry(b"Message-ID: <%d@a>\nSubject: %d\n" % (n, n) + body))
    assert (folder / "large.mbox").stat().st_size > 50_000_000
    sizes: list[int] = []
    tracemalloc.start()
    try:
        collect(
            source(folder),
            EMPTY,
            contact="",
            now=NOW,
            hand_on=lambda part: sizes.extend(len(i.body) for i in part.items),
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(sizes) == 25
    assert max(sizes) < 2_000
    assert peak < 20_000_000


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Auto_Submitted": "auto-replied"}, "auto_reply"),
        ({"Auto_Submitted": "no"}, ""),
        ({"Subject": "Automatische Antwort: Dach"}, "auto_reply"),
        ({"Return_Path": "<>"}, "bounce"),
        ({"From": "MAILER-DAEMON@post.example"}, "bounce"),
        ({"List_Unsubscribe": "<https://a.example>"}, "bulk"),
        ({"Precedence": "bulk"}, "bulk"),
        ({"From": "no-reply@post.example"}, "bulk"),
        ({"List_Id": f"<support.{OWN}>", "Precedence": "list"}, ""),
        ({"List_Id": f"<news.{OWN}>", "From": f"dana@{OWN}", "To": "ava@post.example"}, "bulk"),
        ({"Content_Class": "urn:content-classes:calendarmessage"}, "invitation"),
        ({"X_Spam_Status": "Yes, score=9"}, "spam"),
        ({"X_Gmail_Labels": "Spam,Unread"}, "spam"),
        ({"From": f"Dana <dana+x@{OWN}>"}, "internal"),
        ({"From": f"web@{OWN}", "Reply_To": "ava@post.example"}, ""),
        ({"From": None}, "unreadable"),
        ({"From": "nobody"}, "unreadable"),
    ],
)
def test_what_is_no_letter_is_left_out(folder, headers, reason):
    (folder / "a.eml").write_bytes(letter(1, **headers))
    got = run(source(folder))
    assert got.reasons == ({reason: 1} if reason else {})
    assert len(got.items) == (not reason)
    assert [i.score for i in got.items] == [0] * len(got.items)


def test_bodies_that_cannot_be_read_are_left_out_but_hold_their_thread(folder):
    sealed = EmailMessage()
    sealed["From"], sealed["To"], sealed["Subject"] = "ava.keller@post.example", f"support@{OWN}", "Pitch"
    sealed["Message-ID"] = "<1@post.example>"
    sealed.set_content("-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----\n")
    (folder / "a.eml").write_bytes(sealed.as_bytes())
    (folder / "b.eml").write_bytes(answer(2, 1))
    (folder / "c.eml").write_bytes(letter(3, "x" * 3000))
    got = run(source(folder, max_bytes=2000))
    at = {"sealed": ("mail:post/a.eml@0", hashed(1)), "large": ("mail:post/c.eml@0", hashed(3))}
    assert reasons(got, "letters", at) == {"sealed": "encrypted", "large": "too_large"}
    assert threads(got) == {"2@post.example": ("1@post.example", "1@post.example", 1)}
    state = after(EMPTY, got)
    assert run(source(folder, max_bytes=2000), state).items == []
    (folder / "a.eml").unlink()
    assert threads(run(source(folder, max_bytes=2000), state)) == {"2@post.example": ("", "2@post.example", 1)}


def test_ids_that_are_missing_or_repeated(folder):
    other = letter(1, "Another one.", Date="Tue, 07 Jan 2025 09:00:00 +0000")
    bare = letter(3, Message_ID=None)
    (folder / "a.mbox").write_bytes(b"".join(map(entry, [letter(1), other, letter(1), bare, bare])))
    first = run(source(folder))
    assert len({i.item for i in first.items}) == len(first.items) == 3
    assert first.reasons == {"duplicate": 2}
    (folder / "a.mbox").write_bytes(b"".join(map(entry, [bare, other, letter(1)])))
    second = run(source(folder), after(EMPTY, first))
    assert second.items == second.gone == []


def test_attachments_are_dropped_or_documents_of_their_own(folder):
    message = email.message_from_bytes(letter(1), policy=email.policy.default)
    message.add_attachment(b"Seven degrees at least.", maintype="text", subtype="plain", filename="plan.txt")
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="roof.png")
    (folder / "a.eml").write_bytes(message.as_bytes())
    dropped = run(source(folder))
    assert len(dropped.items) == 1
    assert b"plan.txt" not in dropped.items[0].body
    assert b"How steep" in dropped.items[0].body
    got = run(source(folder, attachments="documents"))
    assert [(i.item, i.media_type, i.parent, i.score) for i in got.items] == [
        (hashed(1), "message/rfc822", "", 0),
        (f"{hashed(1)} attachment 1", "text/plain", "", 0),
    ]
    assert got.items[1].body == b"Seven degrees at least."
    assert got.reasons == {"content_type": 1}
    (folder / "a.eml").rename(folder / "a.msg")
    (folder / "b.eml").write_bytes(letter(2))
    gone = run(source(folder, attachments="documents"), after(EMPTY, got))
    assert numbers(gone.gone) == [" attachment 1", 1]


def test_what_is_known_of_a_letter():
    head = letter(
        1,
        From='"Hill, Dana" <dana.h@post.example>',
        Cc=f"RoofCare Support <support@{OWN}>, =?utf-8?q?J=C3=BCrgen_Gro=C3=9F?= <jg42@post.example>",
        Subject="AW: [EXT] Re: [Ticket #12-4] Pitch",
        Date="Mon, 06 Jan 2025 09:00:00 +0100",
    )
    got = read_letter(head, Owners([f"support@{OWN}"]), NOW)
    assert (got.author, got.subject, got.marked, got.own) == ("Dana Hill", "Pitch", True, False)
    assert got.people == ("Dana Hill", "Jürgen Groß", "dana.h", "jg42")
    assert got.written
    assert got.written.hour == 8
    for date in ("Fri, 31 Dec 2049 00:00:00 +0000", "Thu, 1 Jan 1970 00:00:00 +0000", "yesterday"):
        assert read_letter(letter(1, Date=date), Owners(["@a.example"]), NOW).written is None
    odd = b"From: J\xf6rg <a\xff@b.example>\nTo: \xc3\x9cz <u@b.example>\nSubject: =?x?q?=ff?= =?y\n"
    odd += b"Message-ID: <\xff@b>\n"
    got = read_letter(odd, Owners(["@a.example"]), NOW)
    assert (got.author, got.message_id) == ("Jörg", "")
    assert "Üz" in got.people
    str(got).encode()


@pytest.mark.parametrize(
    ("subject", "plain"),
    [
        ("Re: RE[2]: Fwd: Leak", ("Leak", True)),
        ("WG: Dach", ("Dach", False)),
        ("Ticket #4711: Leak (#12)", ("Leak", False)),
        ("Réf: Recall of tiles", ("Recall of tiles", True)),
        ("Ridge: 12 m", ("Ridge: 12 m", False)),
        ("Re:", ("", True)),
    ],
)
def test_plain_subjects(subject, plain):
    assert plain_subject(subject) == plain


def test_threads_whatever_the_order_and_whatever_they_claim():
    def node(key: str, *refs: str, written: int = 0, **fields: object) -> Node:
        base = {"subject": "s", "marked": True, "sender": "c", "recipients": ("o",), "outside": ("c",)}
        return Node(
            **{
                "key": key,
                "answers": refs[-1] if refs else "",
                "references": refs,
                "written": written,
                **base,
                **fields,
            }
        )

    day = 86_400
    ours = {"sender": "o", "recipients": ("c",)}
    nodes = [
        node("q", marked=False),
        node("r", written=day, **ours),  # names nothing: by subject and people
        node("other", written=2 * day, outside=("d",), sender="d"),
        node("late", written=60 * day, **ours),
        node("new", written=3 * day, marked=False),
        node("gap", "q", "missing", written=4 * day, **ours),
        node("x", "y", written=5 * day),
        node("y", "x", written=6 * day),
        node("self", "self", written=7 * day, subject=""),
    ]
    found = link(nodes)
    assert found["r"] == ("q", "q")
    assert found["gap"] == ("missing", "q")
    assert {key: root for key, (_, root) in found.items() if key in ("other", "late", "new", "self")} == {
        "other": "other",
        "late": "late",
        "new": "new",
        "self": "self",
    }
    assert {found["x"], found["y"]} == {("y", "y"), ("", "y")}
    assert link(reversed(nodes)) == found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "needs either folder or imap"),
        ({"folder": "a", "own": ["roofcare"]}, "'roofcare' is no address"),
        ({"folder": "a", "own": []}, "at least 1"),
        ({"imap": {"host": "a.example", "folder": "*"}}, "stands for several folders"),
        ({"imap": {"host": "a.example", "tls": "none"}}, "in the clear to 'a.example'"),
        ({"imap": {"host": "a.example", "folder": None}}, "folder"),
        ({"imap": {"host": "a.example", "password_env": "s3cret!"}}, "name of an environment variable"),
    ],
)
def test_settings_that_would_not_do(settings, words):
    if "imap" in settings:
        imap = {"folder": "Support", "user_env": "U", "password_env": "P", **settings["imap"]}
        settings = {**settings, "imap": {k: v for k, v in imap.items() if v is not None}}
    with pytest.raises(ValidationError) as refused:
        MailSource.model_validate({**TERMS, "own": ["@a.example"], **settings})
    errors = refused.value.errors(include_input=False)
    assert words in str(errors)
    assert "s3cret" not in str(errors)


def test_a_server_without_its_credentials_or_without_life(monkeypatch, tmp_path):
    settings = MailSource.model_validate(
        {
            **TERMS,
            "own": ["@a.example"],
            "imap": {
                "host": "127.0.0.1",
                "port": 1,
                "tls": "none",
                "folder": "A",
                "user_env": "MU",
                "password_env": "MP",
            },
        }
    )
    monkeypatch.setenv("MU", "x")
    monkeypatch.delenv("MP", raising=False)
    with pytest.raises(
        UserError, match=r"^source letters: imap: MP \(password_env\) not set in the environment; .*\.$"
    ):
        run(settings)
    monkeypatch.setenv("MP", "x")
    with pytest.raises(Exception, match=r"127.0.0.1:1 does not answer"):
        run(settings)
    with pytest.raises(UserError, match=r"^source letters: folder .*/absent does not exist; .*\.$"):
        run(source(tmp_path / "absent"))
    assert os.environ["MU"] == "x"


def cleared(state: SourceState, *items: str) -> SourceState:
    """What the ledger holds once these are to be fetched in full."""
    return replace(state, validators=state.validators | {i: Validator(i, "", "", "") for i in items})


def test_what_was_cleared_is_given_again_in_full_and_nothing_else(folder):
    message = email.message_from_bytes(letter(1), policy=email.policy.default)
    message.add_attachment(b"Seven degrees at least.", maintype="text", subtype="plain", filename="plan.txt")
    spam = letter(5, X_Spam_Flag="YES")
    whole = [message.as_bytes(), spam, answer(2, 1), letter(3), letter(4)]
    (folder / "a.mbox").write_bytes(b"".join(map(entry, whole)))
    settings = source(folder, attachments="documents")
    state = after(EMPTY, run(settings))
    asked = cleared(state, hashed(1), hashed(4))
    got = run(settings, asked)
    assert numbers(got.items) == [" attachment 1", 1, 4]
    assert got.gone == []
    assert got.reasons == {"not_modified": 1}
    assert after(asked, got) == state
    asked = cleared(state, f"{hashed(1)} attachment 1")
    assert numbers(run(settings, asked).items) == [" attachment 1", 1]
    dropped = run(source(folder), asked)
    assert (numbers(dropped.items), numbers(dropped.gone)) == ([1], [" attachment 1"])
    assert run(source(folder), after(asked, dropped)).items == []


def test_what_was_cleared_and_is_gone_vanishes(folder):
    (folder / "a.mbox").write_bytes(entry(letter(1)) + entry(letter(2)))
    state = cleared(after(EMPTY, run(source(folder))), hashed(1))
    (folder / "a.mbox").write_bytes(entry(letter(2)))
    got = run(source(folder), state)
    assert (got.items, numbers(got.gone)) == ([], [1])


def test_what_was_cleared_keeps_its_answers_while_it_waits_for_its_night(folder):
    (folder / "a.mbox").write_bytes(b"".join(map(entry, [letter(3), letter(1), answer(2, 1), letter(4)])))
    asked = state = after(EMPTY, run(source(folder)))
    state = cleared(state, hashed(1), hashed(3), hashed(4))
    given = []
    for _ in range(3):
        got = run(source(folder, max_messages=1), state)
        given += numbers(got.items)
        assert got.gone == []
        state = after(state, got)
    assert given == [3, 1, 4]
    assert state == asked


@pytest.mark.parametrize("parts", range(1, 12, 3))
def test_a_killed_collection_of_what_was_cleared_ends_in_the_same_state(small, folder, monkeypatch, parts):
    small.write(folder)
    state = after(EMPTY, run(source(folder)))
    asked = cleared(state, *live(state)[::3])
    monkeypatch.setattr(night, "PART_ITEMS", 5)
    cut = run(source(folder), asked, stop_after=parts)
    between = after(asked, cut)
    rest = run(source(folder), between)
    assert sorted(i.item for i in [*cut.items, *rest.items]) == live(state)[::3]
    assert after(between, rest) == state


def test_an_unmounted_disk_deletes_nothing(folder):
    (folder / "a.mbox").write_bytes(entry(letter(1)))
    (folder / "a.msf").write_bytes(b"index")
    state = after(EMPTY, run(source(folder)))
    (folder / "a.mbox").unlink()
    with pytest.raises(
        UserError, match=r"^source letters: folder .*/post holds no mail any more; mount its disk .*\.$"
    ):
        run(source(folder), state)
    (folder / "empty.mbox").touch()
    assert numbers(run(source(folder), state).gone) == [1]


def test_a_folder_or_file_that_cannot_be_read_deletes_nothing(folder, monkeypatch):
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "box" / "cur").mkdir(parents=True)
    (folder / "box" / "new").mkdir()
    places = [folder / "deep" / "er" / "a.eml", folder / "box" / "cur" / "1:2,S", folder / "b.mbox"]
    for number, path in enumerate(places, 1):
        path.write_bytes(letter(number) if number < 3 else entry(letter(3)) + entry(letter(4)))
    (folder / "c.eml").write_bytes(letter(5))
    state = after(EMPTY, run(source(folder)))
    scandir = os.scandir

    def denied(path):
        return refuse(path) if str(path).endswith(("deep", "cur")) else scandir(path)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    (folder / "b.mbox").rename(folder.parent / "b.mbox")
    (folder / "b.mbox").symlink_to("b.mbox")  # a file that nobody can open
    (folder / "c.eml").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", denied)
        for _ in range(2):
            got = run(source(folder), cleared(state, hashed(3)))
            assert (got.items, numbers(got.gone)) == ([], [5])
            assert {r.text: r.reason for r in got.rejections} == dict.fromkeys(["deep", "box", "b.mbox"], "unreadable")
        state = after(state, got)
        patched.setattr(os, "scandir", lambda path: denied(path) if path != os.fspath(folder) else refuse(path))
        with pytest.raises(UserError, match=r"/post can't be read \(Permission denied\); mend"):
            run(source(folder), state)
    (folder / "b.mbox").unlink()
    (folder.parent / "b.mbox").rename(folder / "b.mbox")
    healed = run(source(folder), state)
    assert healed.items == healed.gone == []
    assert healed.reasons == {"not_modified": 3}


def test_a_changed_thread_waits_for_a_file_that_can_be_read(folder):
    (folder / "sent.mbox").write_bytes(entry(answer(2, 1)))
    state = after(EMPTY, run(source(folder)))
    (folder / "sent.mbox").rename(folder.parent / "sent.mbox")
    (folder / "sent.mbox").symlink_to("sent.mbox")
    (folder / "inbox.mbox").write_bytes(entry(letter(1)))
    got = run(source(folder), state)
    assert (numbers(got.items), got.gone) == ([1], [])
    (folder / "sent.mbox").unlink()
    (folder.parent / "sent.mbox").rename(folder / "sent.mbox")
    assert threads(run(source(folder), after(state, got))) == {
        "2@post.example": ("1@post.example", "1@post.example", 1)
    }


def test_a_disk_that_fails_within_a_file_may_heal(folder, monkeypatch):
    (folder / "a.mbox").write_bytes(entry(letter(1)))
    state = after(EMPTY, run(source(folder)))
    (folder / "a.mbox").write_bytes(entry(letter(2)))

    def fails(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(mail_folder, "_split", fails)
    with pytest.raises(TransientError, match=r"/post can't be read to its end \(Input/output error\)\.$"):
        run(source(folder), state)


def test_a_message_that_changes_while_it_is_read_is_told_without_its_file(folder, monkeypatch):
    (folder / "Ava Keller.mbox").write_bytes(entry(letter(1)))
    monkeypatch.setattr(mail_folder.Folder, "read", lambda *_: letter(2))
    with pytest.raises(TransientError, match=r"^source [a-z]+: a message changed while it was read\.$"):
        run(source(folder))


def test_the_home_folder_may_be_named(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    (folder / "a.eml").write_bytes(letter(1))
    assert numbers(run(source("~/post")).items) == [1]


def test_drafts_and_deleted_mail_are_left_out(folder):
    (folder / "box" / "cur").mkdir(parents=True)
    (folder / "box" / "new").mkdir()
    for number, flags in enumerate(["DS", "ST", "S"], 1):
        (folder / "box" / "cur" / f"{number}:2,{flags}").write_bytes(letter(number))
    expunged, there = (letter(n, X_Mozilla_Status=status) for n, status in ((4, "0009"), (5, "0001")))
    moved = letter(4, X_Mozilla_Status="0001")
    (folder / "Inbox").write_bytes(entry(expunged) + entry(there))
    (folder / "Work").write_bytes(entry(moved))
    got = run(source(folder))
    assert numbers(got.items) == [3, 4, 5]
    assert got.reasons == {"draft": 1, "deleted": 2}
    state = after(EMPTY, got)
    (folder / "box" / "cur" / "3:2,S").rename(folder / "box" / "cur" / "3:2,ST")
    (folder / "box" / "cur" / "2:2,ST").rename(folder / "box" / "cur" / "2:2,S")
    (folder / "Inbox").write_bytes(entry(expunged) + entry(letter(5, X_Mozilla_Status="000b")))
    os.utime(folder / "Inbox", (1, 1))
    got = run(source(folder), state)
    assert (numbers(got.items), numbers(got.gone)) == ([2], [3, 5])


@pytest.mark.parametrize(
    ("sender", "author", "people"),
    [
        ("Dana Hill <info@hillroofing.example>", "Dana Hill", ("Dana Hill",)),
        ("Dana Kowalczyk <dana@kowalczyk.example>", "Dana Kowalczyk", ("Dana Kowalczyk", "dana")),
        ("Dana Hill Support <support@tiles.example>", "Dana Hill", ("Dana Hill",)),
        ("Hill Roofing GmbH <info@hill-roofing.example>", "info@hill-roofing.example", ()),
        ("The Support Team <team@tiles.example>", "team@tiles.example", ()),
    ],
)
def test_a_company_is_no_person_but_whoever_shares_its_name_is(sender, author, people):
    got = read_letter(letter(1, From=sender, To=f"support@{OWN}"), Owners([f"@{OWN}"]), NOW)
    assert (got.author, got.people) == (author, people)


def test_the_ledger_holds_no_id_of_a_message_in_clear(small, folder):
    small.write(folder)
    got = run(source(folder))
    held = [str((i.item, i.parent, i.group)) for i in got.items] + [str(v) for v in got.validators]
    assert any(email.message_from_bytes(i.body)["Message-ID"] for i in got.items)
    assert not any(".example" in one or "@post" in one for one in held)


def test_what_is_no_mail_is_told_once_until_it_is_touched(folder):
    (folder / "a.eml").write_bytes(letter(1))
    (folder / "a.msf").write_bytes(b"index")
    (folder / "pipe").symlink_to("/dev/null")
    first = run(source(folder))
    assert {r.text: r.reason for r in first.rejections} == {"a.msf": "content_type", "pipe": "outside_folder"}
    state = after(EMPTY, first)
    second = run(source(folder), state)
    assert second.rejections == second.validators == []
    assert second.reasons == {"not_modified": 3}
    (folder / "a.msf").write_bytes(b"another index")
    assert [r.text for r in run(source(folder), state).rejections] == ["a.msf"]
    (folder / "a.msf").unlink()
    third = run(source(folder), state)
    assert [v.address for v in third.validators] == ["file a.msf"]
    assert run(source(folder), after(state, third)).validators == []


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ("mx.a.example; spf=pass; dkim=pass; dmarc=pass", ""),
        ("mx.a.example; spf=fail smtp.mailfrom=b.example; dkim=pass header.d=c.example", ""),
        ("mx.a.example; spf=fail smtp.mailfrom=b.example; dkim=none", "forged"),
        ("mx.a.example; spf=softfail; dkim=none", ""),
        ("mx.a.example; dkim=pass; spf=pass; dmarc=fail (p=NONE) header.from=c.example", "forged"),
        ("mx.a.example; dmarc=pass (not dmarc=fail; of old)", ""),
        (None, ""),
    ],
)
def test_a_letter_in_the_owners_name_that_its_server_found_false_is_forged(verdict, reason):
    below = b"Authentication-Results: liar.example; dmarc=pass\n" if reason else b""
    top = f"Authentication-Results: {verdict}\n".encode() if verdict else b""
    owners = Owners([f"@{OWN}"])
    assert read_letter(top + below + answer(1, None), owners, NOW, judged=True).reason == reason
    assert read_letter(top + below + answer(1, None), owners, NOW).reason == ""
    assert read_letter(top + below + letter(1), owners, NOW, judged=True).reason == ""
