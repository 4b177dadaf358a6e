"""What the domain holds: counts, figures that agree, pages that differ, planted data, and the two days."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys

import pytest
from bs4 import BeautifulSoup
from stdnum import iban, isbn, luhn

from sovereign_tasks.demo import documents, pages, resources, threads, write_documents
from sovereign_tasks.demo.facts import all_materials, metal
from sovereign_tasks.demo.prices import AREAS
from sovereign_tasks.demo.towns import all_towns

COPIES = ("/print/", "/syndicated/", "/archive/", "/amp/")


def _article(page) -> BeautifulSoup:
    return BeautifulSoup(page.body.decode("utf-8", "replace"), "html.parser").article


def _pairs(day: int) -> set[tuple[str, str]]:
    """Question heading and the paragraph below it, over all pages."""
    headings = [h for page in pages(day).values() for h in _article(page).select("h2, h3")]
    return {(h.text, h.find_next_sibling("p").text) for h in headings if h.text.endswith("?")}


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """The main text of every page (copies apart), thread and document of both days."""
    found = {}
    for day in (1, 2):
        for path, page in pages(day).items():
            if not path.startswith(COPIES):
                article = _article(page)
                article.select_one(".byline").decompose()
                found[path] = article.get_text(" ")
        for thread in threads(day):
            found[thread.id] = " ".join([thread.title, thread.body, *(c.body for c in thread.comments)])
        found |= documents(day)
    return found


def test_counts() -> None:
    assert 150 <= len(pages(1)) <= 160
    assert sum(path.startswith("/prices/") for path in pages(1)) == 1 + sum(
        t.from_day == 1 for t in all_towns().values()
    )
    assert 60 <= len(threads(1)) <= 80
    assert 8 <= len(documents(1)) <= 12
    assert all(2 <= len(thread.comments) <= 6 for thread in threads(1))


def test_question_answer_pairs_are_many_distinct_and_of_good_length() -> None:
    first, second = _pairs(1), _pairs(2)
    assert 950 <= len({question for question, _ in first}) <= 1050
    assert 950 <= len({answer for _, answer in first}) <= 1050
    assert len(second - first) + len({t.id for t in threads(2)} - {t.id for t in threads(1)}) >= 40
    bad = [(question, len(answer)) for question, answer in first | second if not 80 <= len(answer) <= 400]
    assert [row for row in bad if "¿" not in row[0]] == []
    assert all(80 <= len(thread.best.body) <= 500 for thread in threads(2))


def test_no_two_texts_are_near_copies_but_the_planted_ones(texts: dict[str, str]) -> None:
    def shingles(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return set(zip(words, words[1:], words[2:], strict=False))

    sets = {key: shingles(text) for key, text in texts.items()}
    near = [(a, b) for a, b in itertools.combinations(sets, 2) if len(sets[a] & sets[b]) > 0.4 * len(sets[a] | sets[b])]
    assert near == []
    page = pages(1)
    for copy, source in [("/print/flashing.html", "/parts/flashing.html"), ("/syndicated/hail-country.html",) * 2]:
        source = source.replace("/syndicated/", "/climate/")
        one, two = shingles(_article(page[copy]).text), shingles(_article(page[source]).text)
        assert 0.8 < len(one & two) / len(one | two) < 1
    assert page["/amp/inspect-from-ground.html"].body == page["/how-to/inspect-from-ground.html"].body


def test_the_running_example_holds() -> None:
    materials = all_materials()
    assert metal().price == (8, 15)
    assert metal().total(2400) == "$19,200 to $36,000"
    assert materials["standing-seam"].life == (40, 70)
    answers = dict(_pairs(1))
    assert "130+ mph" in answers["What is the best roof for the Florida coast?"]
    assert "$19,200 to $36,000" in answers["How much does a metal roof cost for a 2,400 square foot ranch?"]


def test_every_total_is_its_unit_price_times_its_area(texts: dict[str, str]) -> None:
    span = re.compile(r"\$([\d,.]*\d)(k?) to \$([\d,.]*\d)(k?)(?: (?:per|a) (sq ft|square foot))?")
    area = re.compile(r"([\d,]*\d{3}) (?:sq ft|square f|sf)")
    checked = 0
    for line in (line for text in texts.values() for line in text.splitlines()):
        rates, totals = set(), set()
        for low, low_k, high, high_k, per in span.findall(line):
            found = tuple(float(n.replace(",", "")) * (1000 if k else 1) for n, k in ((low, low_k), (high, high_k)))
            if per and found != (1, 1.5):  # $1 to $1.50 is the tear-off of a second layer
                rates.add(found)
            elif found[0] >= 4000:
                totals.add(found)
        areas = {int(number.replace(",", "")) for number in area.findall(line)} & set(AREAS)
        if len(rates) == len(areas) == 1 and totals and "more" not in line:  # "more": a difference
            (size,), (rate,) = areas, rates
            assert (size * rate[0], size * rate[1]) in totals, line
            checked += 1
    assert checked >= 170
    for page in (page for path, page in pages(2).items() if re.match(r"/costs/.", path)):
        for row in _article(page).select("tbody tr"):
            size, low, high, middle = (float(re.sub(r"[^\d.]", "", cell.text)) for cell in row.select("td"))
            material = all_materials()[page.path.split("/")[2].removesuffix(".html")]
            assert (low, high) == (size * material.price[0], size * material.price[1])
            assert middle == (low + high) / 2


def test_the_dirt_of_real_sites_is_there() -> None:
    found = resources(1)
    assert found["/es/techos-de-metal.html"].body.count("¿".encode()) == 3
    odd = found["/notes/travel-notes-europe.html"]
    assert "utf-8" in odd.content_type
    with pytest.raises(UnicodeDecodeError):
        odd.body.decode("utf-8")
    assert "Besançon" in odd.body.decode("windows-1252")
    assert found["/old-home.html"].location == "/home.html"
    assert found["/home.html"].location == "/"
    assert b'content="noindex"' in found["/members/pricing-survey.html"].body
    linked = {
        a["href"] for page in pages(1).values() for a in BeautifulSoup(page.body, "html.parser").select("a[href]")
    }
    assert {path for path in linked if path not in found} == {"/partners/directory-2016.html"}
    assert "/drafts/rates-next-year.html" in linked
    assert set(pages(1)) - {"/"} <= linked


def test_faq_pages_carry_their_questions_as_json_ld_too() -> None:
    for path in ("/faq/metal.html", "/faq/asphalt.html", "/faq/tile-slate.html", "/faq/first-home.html"):
        soup = BeautifulSoup(pages(1)[path].body, "html.parser")
        data = json.loads(soup.select_one('script[type="application/ld+json"]').string)
        assert data["@type"] == "FAQPage"
        assert [q["name"] for q in data["mainEntity"]] == [h.text for h in soup.select("article h2")]


def test_planted_personal_data_and_look_alikes() -> None:
    everything = " ".join(page.body.decode("utf-8", "replace") for page in pages(1).values())
    everything += " ".join(c.body for t in threads(1) for c in t.comments) + " ".join(documents(1).values())
    planted = ["(555) 123-4567", "+44 20 7946 0958", "margaret.holloway@", "1482 Juniper Ridge Road", "536-22-8145"]
    assert [text for text in planted if text not in everything] == []
    cards = ["4111 1111 1111 1111", "5555 5555 5555 4444", "4242 4242 4242 4242"]
    assert all(card in everything and luhn.is_valid(card.replace(" ", "")) for card in cards)
    assert "GB82 WEST 1234 5698 7654 32" in everything
    assert iban.is_valid("GB82 WEST 1234 5698 7654 32")
    assert "978-0-306-40615-7" in everything
    assert isbn.is_valid("978-0-306-40615-7")
    look_alikes = ["Order number 2024-118-7734", "SKU 4111-0000-22", "Claim form 1099-22-88", "Invoice 88120-4417"]
    assert [text for text in look_alikes if text not in everything] == []


def test_the_second_day_differs_as_told_and_nowhere_else() -> None:
    one, two = pages(1), pages(2)
    assert set(one) - set(two) == {"/amp/inspect-from-ground.html", "/notes/company-softball.html"}
    assert 6 <= len(set(two) - set(one)) <= 8
    assert {path for path in set(two) - set(one) if path.startswith("/prices/")} == {
        "/prices/galveston.html", "/prices/missoula.html",
    }  # fmt: skip
    changed = {path for path in set(one) & set(two) if one[path].body != two[path].body}
    assert changed == {
        "/", "/money/warranties.html", "/parts/gutters.html", "/prices/dayton.html", "/rules/codes-permits.html",
    }  # fmt: skip
    assert all(one[p].etag != two[p].etag and one[p].last_modified < two[p].last_modified for p in changed)
    assert all(one[path] == two[path] for path in set(one) & set(two) - changed)
    assert "$200 to $650" in two["/rules/codes-permits.html"].body.decode()
    assert "$150 to $500" not in two["/rules/codes-permits.html"].body.decode()
    assert "costs $200 in Dayton" in one["/prices/dayton.html"].body.decode()
    assert "costs $275 in Dayton" in two["/prices/dayton.html"].body.decode()

    before, after = {t.id: t for t in threads(1)}, {t.id: t for t in threads(2)}
    assert len(set(before) - set(after)) == 2
    assert 5 <= len(set(after) - set(before)) <= 8
    altered = [t for key, t in after.items() if key in before and t != before[key]]
    assert sum(len(t.comments) > len(before[t.id].comments) for t in altered) == 3
    removed = [c for t in altered for c in t.comments if c.body == "[removed]" and c not in before[t.id].comments]
    assert len(removed) == 1
    assert removed[0].author is None
    assert len(altered) == 4

    old, new = documents(1), documents(2)
    assert set(new) - set(old) == {"winter-work-rules.md"}
    assert set(old) - set(new) == {"old-price-list-2019.txt"}
    assert [name for name in set(old) & set(new) if old[name] != new[name]] == ["warranty-policy.md"]


def test_the_documents_folder_follows_the_day_and_keeps_other_files(tmp_path) -> None:
    folder = tmp_path / "documents"
    write_documents(folder, 1)
    (folder / "own-notes.md").write_text("mine")
    write_documents(folder, 2)
    assert {path.name for path in folder.iterdir()} == {*documents(2), "own-notes.md"}
    assert (folder / "warranty-policy.md").read_text() == documents(2)["warranty-policy.md"]


def test_output_is_the_same_in_another_process_with_another_hash_seed() -> None:
    code = (
        "import hashlib; from sovereign_tasks.demo import *;"
        "print(hashlib.sha256(repr([(resources(d), threads(d), documents(d)) for d in (1, 2)]).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
