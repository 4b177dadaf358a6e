from __future__ import annotations

import gzip
import io
import json

import pytest
from archive_helpers import accounted, resumes_anywhere
from collect_helpers import EMPTY, after, run
from pydantic import ValidationError
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from sovereign_tasks.collect.warc import WarcSource
from sovereign_tasks.errors import UserError


def source(path, **settings):
    return WarcSource(name="old", kind="warc", path=str(path), licence="owner", consent="own-content", **settings)


def capture(path, body="<p>Words.</p>", day=1, *, status="200 OK", kind="text/html", record="response", **headers):
    """What one record is made of; `path` is an address, or a path on the site's own host."""
    address = path if "://" in path else f"https://www.site.example{path}"
    headers = {"Content-Type": kind} | headers
    return (
        address,
        body if isinstance(body, bytes) else body.encode(),
        f"2024-01-{day:02}T00:00:00Z",
        status,
        headers,
        record,
    )


def warc(path, captures, *, compress=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=compress)
        writer.write_record(writer.create_warcinfo_record(path.name, {"software": "test"}))
        for address, body, date, status, headers, record in captures:
            http = StatusAndHeaders(status, list(headers.items()), protocol="HTTP/1.1")
            dated = {"WARC-Date": date}
            if record == "revisit":
                made = writer.create_revisit_record(address, "sha1:X", address, date, http_headers=http)
            else:
                made = writer.create_warc_record(
                    address, record, io.BytesIO(body), http_headers=http, warc_headers_dict=dated
                )
            writer.write_record(made)
    return path


def bodies(got):
    return {i.address.removeprefix("https://www.site.example"): i.body.decode() for i in got.items}


@pytest.mark.parametrize("compress", [True, False])
def test_the_newest_capture_of_each_page_under_its_canonical_address(tmp_path, compress):
    name = "a.warc.gz" if compress else "a.warc"
    captures = [
        capture("/a", "<p>new</p>", 5),
        capture("https://www.Site.example:443/a?utm_source=x#top", "<p>old</p>", 2),
        capture("/b", "plain", kind="text/plain; charset=utf-8"),
        capture("/b", record="revisit", day=9),
        capture("/c", "<p>zipped</p>", **{"Content-Encoding": "gzip"}),
        capture("/img", b"\x89PNG", kind="image/png"),
        capture("/moved", status="301 Moved"),
        capture("/gone", status="404 Not Found"),
        capture("dns:site.example", "x"),
        capture("/br", b"\x8b\x02", **{"Content-Encoding": "x-unknown"}),
    ]
    captures[4] = (*captures[4][:1], gzip.compress(captures[4][1]), *captures[4][2:])
    got = run(source(warc(tmp_path / name, captures, compress=compress)))
    assert bodies(got) == {"/a": "<p>new</p>", "/b": "plain", "/c": "<p>zipped</p>"}
    assert {i.address for i in got.items} >= {"https://www.site.example/a"}
    page = next(i for i in got.items if i.address.endswith("/b"))
    assert (page.media_type, page.item, page.group) == ("text/plain; charset=utf-8", "", page.address)
    assert json.loads(page.headers)["captured"] == "2024-01-01T00:00:00.000000+00:00"
    assert got.reasons == {
        "older_capture": 1,
        "revisit": 1,
        "content_type": 1,
        "http_301": 1,
        "gone": 1,
        "no_page": 1,
        "content_encoding": 1,
    }
    assert accounted(got)


def test_bounds_of_hosts_and_paths(tmp_path):
    path = warc(
        tmp_path / "a.warc.gz",
        [capture("/docs/a"), capture("/docs/b/old"), capture("/shop"), capture("https://other.example/docs/x")],
    )
    wanted = source(path, hosts=["site.example"], include=["^/docs/"], exclude=["/old$"])
    got = run(wanted)
    assert list(bodies(got)) == ["/docs/a"]
    assert got.reasons == {"excluded": 3}
    state = after(EMPTY, run(source(path)))
    assert sorted(g.address.rpartition("example")[2] for g in run(wanted, state).gone) == [
        "/docs/b/old",
        "/docs/x",
        "/shop",
    ]
    with pytest.raises(ValidationError, match="is not a regular expression"):
        source(path, include=["("])


def test_a_later_file_brings_newer_captures_and_an_older_file_may_go(tmp_path):
    a = warc(tmp_path / "w" / "a.warc.gz", [capture("/a", "one"), capture("/b", "two"), capture("/c", "three")])
    archive = source(tmp_path / "w")
    state = after(EMPTY, run(archive))
    assert run(archive, state).reasons == {"not_modified": 1}
    warc(
        tmp_path / "w" / "b.warc.gz",
        [
            capture("/a", "newer", 3),
            capture("/b", "two", 3),
            capture("/c", status="410 Gone", day=3),
            capture("/d", "four"),
        ],
    )
    a.unlink()
    second = run(archive, state)
    assert bodies(second) == {"/a": "newer", "/d": "four"}
    assert [g.address for g in second.gone] == ["https://www.site.example/c"]
    state = after(state, second)
    warc(tmp_path / "w" / "c.warc.gz", [capture("/a", "older", 2), capture("/c", "three", 2)])
    third = run(archive, state)
    assert (third.items, third.reasons) == ([], {"not_modified": 1, "not_newer": 2})


def test_a_page_that_is_wanted_anew_is_read_from_an_untouched_file(tmp_path):
    path = warc(tmp_path / "a.warc.gz", [capture("/a", "one"), capture("/b", "two")])
    state = after(EMPTY, run(source(path)))
    state.validators.pop("https://www.site.example/b")
    got = run(source(path), state)
    assert bodies(got) == {"/b": "two"}
    state = after(state, got)
    state.validators.pop("https://www.site.example/b")
    warc(path, [capture("/a", "one")])
    state = after(state, run(source(path), state))
    assert run(source(path), state).reasons == {"not_modified": 1}


def test_a_page_that_is_too_large_or_unpacks_to_too_much_is_rejected(tmp_path):
    bomb = gzip.compress(b"0" * 30_000_000)
    path = warc(
        tmp_path / "a.warc.gz",
        [capture("/bomb", bomb, **{"Content-Encoding": "gzip"}), capture("/long", "x" * 5000), capture("/a", "one")],
    )
    got = run(source(path, max_bytes=4000))
    assert bodies(got) == {"/a": "one"}
    assert got.reasons == {"too_large": 2}


@pytest.mark.parametrize(
    "cut", [lambda b: b[:-40], lambda b: b[: len(b) * 3 // 4], lambda b: b[:-300] + b"\0" * 50 + b[-250:]]
)
def test_a_broken_file_is_rejected_with_its_name_and_what_came_before_is_kept(tmp_path, cut):
    whole = warc(tmp_path / "w" / "a.warc.gz", [capture(f"/{n}", bytes(range(33, 99)) * n) for n in range(1, 9)])
    warc(tmp_path / "w" / "b.warc.gz", [capture("/other", "fine")])
    whole.write_bytes(cut(whole.read_bytes()))
    got = run(source(tmp_path / "w"))
    assert {"/1", "/2", "/other"} <= set(bodies(got))
    assert "/8" not in bodies(got)
    assert [r.text for r in got.rejections] == ["a.warc.gz"]
    assert got.rejections[0].reason in ("truncated", "unreadable")
    again = run(source(tmp_path / "w"), after(EMPTY, got))
    assert (again.items, again.gone, len(again.rejections)) == ([], [], 1)


def test_files_that_are_no_warc_are_rejected_by_name(tmp_path):
    records = warc(tmp_path / "x.warc", [capture("/a"), capture("/b")], compress=False).read_bytes()
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "a.warc.gz").write_bytes(gzip.compress(records))
    (tmp_path / "w" / "b.warc").write_bytes(b"hello\n" * 10)
    (tmp_path / "w" / "c.warc").write_bytes(b"")
    warc(tmp_path / "w" / "d.warc", [capture("/d", "four")], compress=False)
    got = run(source(tmp_path / "w"))
    assert bodies(got)["/d"] == "four"
    assert {r.text: r.reason for r in got.rejections} == {"a.warc.gz": "not_seekable", "b.warc": "unreadable"}
    with pytest.raises(UserError, match="does not exist"):
        run(source(tmp_path / "absent.warc"))


def test_a_night_takes_so_many_pages_and_the_next_goes_on(tmp_path):
    warc(tmp_path / "w" / "a.warc.gz", [capture(f"/{n}", f"page {n}") for n in range(4)])
    warc(tmp_path / "w" / "b.warc.gz", [capture(f"/{n}", f"newer {n}", 3) for n in (3, 5)])
    archive, state, nights = source(tmp_path / "w", max_pages=3), EMPTY, []
    for _ in range(3):
        got = run(archive, state)
        nights.append(bodies(got))
        state = after(state, got)
    assert nights == [{f"/{n}": f"page {n}" for n in range(3)}, {"/3": "newer 3", "/5": "newer 5"}, {}]
    assert state.cursor == {}


def test_a_night_cut_off_goes_on_where_it_was(tmp_path, monkeypatch):
    warc(tmp_path / "w" / "a.warc.gz", [capture(f"/{n}", f"page {n}") for n in range(4)])
    warc(tmp_path / "w" / "b.warc.gz", [capture(f"/{n}", f"newer {n}", 3) for n in (1, 3, 5)])
    for most in (3, 4, 5000):
        resumes_anywhere(source(tmp_path / "w", max_pages=most), monkeypatch)
    state = after(EMPTY, run(source(tmp_path / "w")))
    changes = [capture("/0", status="404 Not Found", day=5), *(capture(f"/{n}", "newest", 5) for n in range(1, 5))]
    warc(tmp_path / "w" / "c.warc.gz", changes)
    assert resumes_anywhere(source(tmp_path / "w"), monkeypatch, state).gone
