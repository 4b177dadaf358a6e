"""Sources full of made-up personal data and secrets, each in one place, in the forms that people write them."""

from __future__ import annotations

import base64
import mailbox
from dataclasses import dataclass
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.unit.stages.nights import page, write_first_day


@dataclass(frozen=True)
class Plant:
    """What is planted: how it is written, in which sentence, and how else a product may spell the same."""

    written: str
    sentence: str = "Ask {} about the siding."
    spelt: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """The sentence with it."""
        return self.sentence.format(self.written)


def _joined(*parts: str) -> str:
    """A made-up secret, in pieces here so that nobody takes this file for a leak."""
    return "".join(parts)


JWT = _joined("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiJraXdpLXBsYW5rIn0", ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
KEY_BODY = base64.b64encode(b"planks, not a key " * 9).decode()
KEY = _joined("-----BEGIN RSA ", "PRIVATE KEY-----\n", KEY_BODY, "\n-----END RSA ", "PRIVATE KEY-----")

# Each stands in one Markdown document, in the answer to a question, and so would go all the way to the model.
IN_ANSWERS = {
    "email": Plant("wilma.brackett@mail.example.org", "Write to {} and say which wall leaks."),
    "phone-us": Plant("(415) 555-0143", "Call {} before the crew leaves.", ("4155550143",)),
    "phone-uk": Plant("+44 20 7946 0958", "Call {} before the crew leaves.", ("442079460958",)),
    "phone-de": Plant("+49 30 23125 345", "Call {} before the crew leaves.", ("493023125345",)),
    "phone-in": Plant("+91 98765 43210", "Call {} before the crew leaves.", ("919876543210",)),
    "visa": Plant("4539 1488 0343 6467", "The deposit went on card {} last week.", ("4539148803436467",)),
    "mastercard": Plant("5555-5555-5555-4444", "The deposit went on card {} last week.", ("5555555555554444",)),
    "amex": Plant("3782 822463 10005", "The deposit went on card {} last week.", ("378282246310005",)),
    "iban-de": Plant("DE89 3704 0044 0532 0130 00", "Pay for the boards into {} please.", ("DE89370400440532013000",)),
    "iban-gb": Plant("GB82WEST12345698765432", "Pay for the boards into {} please."),
    "ssn": Plant("536-22-8746", "The owner's SSN is {} on the permit."),
    "dni": Plant("12345678Z", "The owner's DNI is {} on the permit."),
    "cpf": Plant("111.444.777-35", "The owner's CPF is {} on the permit.", ("11144477735",)),
    "nhs": Plant("943 476 5919", "The roofer's NHS number is {} on the form.", ("9434765919",)),
    "ip": Plant("203.0.113.77", "The camera on the wall has the address {} now."),
    "ipv6": Plant("2001:db8:85a3::8a2e:370:7334", "The camera on the wall has the address {} now."),
    "mac": Plant("00:1B:44:11:3A:B7", "The camera on the wall has the MAC address {} now."),
    "street": Plant(
        "1427 Larkspur Hollow Road, Boise, ID 83702", "The crew comes to {} on Monday.", ("1427 Larkspur",)
    ),
    "birth-date": Plant("14 March 1967", "The owner was born on {} and signs alone."),
    "birth-date-iso": Plant("1971-09-23", "Date of birth: {}, as the permit says."),
    "coordinates": Plant("43.615123, -116.202345", "The house stands at coordinates {} by the road.", ("43.615123",)),
    "vin": Plant("1HGCM82633A004352", "The crew's truck has the VIN {} on its door."),
    "account": Plant("8834229107", "Account number: {}, for the board invoice."),
    "aws-key": Plant(_joined("AKIA", "IOSFODNN7", "PLANKS9"), "The planner's access key is {} for now."),
    "github-token": Plant(
        _joined("ghp_", "16C7e42F292c6912E7710c", "838347Ae178B4a"), "The planner's token is {} now."
    ),
    "slack-token": Plant(
        _joined("xoxb-", "123456789012-1234567890123-", "4mt0t4l1YF4k3T0k3nFoRy0u"), "It posts with {}."
    ),
    "jwt": Plant(JWT, "The planner answered with the header Authorization: Bearer {} again."),
    "private-key": Plant(KEY, "The planner's key:\n\n```\n{}\n```\n", (KEY_BODY, KEY_BODY[20:60])),
    "password": Plant("Tr0ub4dor-Kestrel9", "The gate's password: {} opens the yard."),
    "handle": Plant("@kestrel_jib91", "Ask {} about the trim on this house.", ("kestrel_jib91",)),
    "login-url": Plant("https://tressa:w00dgrain77@planner.example.org/x", "The plan is at {} now.", ("w00dgrain77",)),
}
# In a title, a heading, a link, front matter; in letters, rows and pages; in what is turned down.
ELSEWHERE = {
    "title": Plant("ludovic.farrow@mail.example.org"),
    "heading": Plant("+1 628 555 0178", spelt=("16285550178",)),
    "mailto": Plant("sunniva.holt@mail.example.org"),
    "tel-link": Plant("+33 1 99 00 12 34", spelt=("+33199001234", "33199001234")),
    "front-matter": Plant("cosima.trill@mail.example.org"),
    "author-meta": Plant("Bartholomew Quillfeather"),
    "letter-from-name": Plant("Ottoline Ferncastle"),
    "letter-from": Plant("o.ferncastle@letters.example.org"),
    "letter-to-name": Plant("Thaddeus Brimblecombe"),
    "letter-signature": Plant("+1 510 555 0121", spelt=("15105550121",)),
    "letter-own-name": Plant("Peregrine Askwith"),
    "attachment-text": Plant("persimmon@letters.example.org"),
    "row-name": Plant("Evangeline Wraxall"),
    "row-email": Plant("e.wraxall@letters.example.org"),
    "row-text": Plant("+61 491 570 156", spelt=("61491570156",)),
    "page-text": Plant("rowena.tadd@mail.example.org"),
    "page-query": Plant("hector.lindqvist@mail.example.org"),
    "dead-link": Plant("dead.link@mail.example.org"),
    "moved-link": Plant("moved.link@mail.example.org"),
    "too-short": Plant("short.wren@mail.example.org"),
    "off-topic": Plant("topic.wren@mail.example.org"),
    "language": Plant("sprache.wren@mail.example.org"),
    "duplicate": Plant("copy.wren@mail.example.org"),
    "broken-html": Plant("markup.wren@mail.example.org"),
    "broken-pdf": Plant("paper.wren@mail.example.org"),
    "broken-docx": Plant("zipped.wren@mail.example.org"),
    "file-name": Plant("Marisol Vantongeren", spelt=("Marisol", "Vantongeren")),
    "file-name-email": Plant("gideon.locke@mail.example.org"),
}
# What no item holds: it must not be kept at all, not even among raw bytes.
NEVER_ITEMS = {
    "attachment-name": Plant("Persimmon Drumgoole"),
    "left-out-file": Plant("spreadsheet.wren@mail.example.org"),
    "left-out-name": Plant("Vanderquill"),
    "left-out-letter": Plant("bulk.wren@letters.example.org"),
    "plain-header": Plant("rosalind.header@mail.example.org"),
    "plain-header-name": Plant("Rosalind Abernethy"),
    "collector-fault": Plant("Cornelius Applewhite", spelt=("quoted.wren@mail.example.org",)),
}
# Where these lie is what a source is asked for again by: only the ledger may keep it.
ADDRESSES = {"file-name", "file-name-email", "left-out-file", "left-out-name", "page-query"}
ALL = IN_ANSWERS | ELSEWHERE | NEVER_ITEMS
TOPICS = (
    "alder ash aspen balsa bamboo beech birch boxwood cherry chestnut cypress ebony elm eucalyptus fir gum hazel "
    "hemlock hickory ironwood juniper larch linden mahogany maple oak olive pecan poplar rosewood spruce teak walnut"
).split()


def spellings() -> dict[str, list[str]]:
    """Every way in which each planted thing may be spelt."""
    return {name: [plant.written, *plant.spelt] for name, plant in ALL.items()}


def say(name: str) -> str:
    """What is planted under a name."""
    return ALL[name].written


def write_documents(folder: Path) -> None:
    """Markdown, HTML, text and broken files; most of the plants stand in answers."""
    write_first_day(folder)
    for (_, plant), topic in zip(IN_ANSWERS.items(), TOPICS, strict=False):
        text = page(topic, 21).replace("when the boards are nailed", f"when the boards are nailed. {plant.said} Look")
        (folder / f"{topic}.md").write_text(text)
    text = page("granite", 31)
    title = text.replace("# Granite siding", f"# Granite siding, a word from {say('title')}")
    heading = page("quartz", 33).replace("be painted?", f"be painted (call {say('heading')})?")
    links = page("marble", 35) + f"\nAsk [the office](mailto:{say('mailto')}) or [call](tel:{say('tel-link')}).\n"
    links = links.replace(say("tel-link"), say("tel-link").replace(" ", ""))
    front = f"---\ntitle: Basalt\ncontact: {say('front-matter')}\nauthor: Somebody\n---\n{page('basalt', 37)}"
    meta = f"<html><head><title>Gneiss</title><meta name='author' content='{say('author-meta')}'></head>"
    body = page("gneiss", 39).replace("## ", "<h2>").replace("\n\n", "</p><p>")
    by = f"<p>By {say('author-meta')}</p>"
    files = {
        "granite.md": title,
        "quartz.md": heading,
        "marble.md": links,
        "basalt.md": front,
        "gneiss.html": f"{meta}<body><main>{by}<p>{body}</p></main></body></html>",
        "short.txt": f"Siding: {say('too-short')}",
        "topic.txt": f"Bread rises in a warm kitchen, and {say('off-topic')} bakes it daily with salt and care. " * 9,
        "sprache.txt": f"Die Bretter der Fassade werden jedes Jahr neu gestrichen, sagt {say('language')} dazu. " * 9,
        "copy.md": page("cedar", 20).replace("## ", f"Seen by {say('duplicate')}.\n\n## ", 1),
        "broken.html": f"<html><body><div><p>Siding <b>boards {say('broken-html')} <table><tr><![CDATA[<p></di",
        "paper.pdf": f"%PDF-1.7\n1 0 obj << /Author ({say('broken-pdf')}) >> siding {say('broken-pdf')}",
        "zipped.docx": f"PK\x03\x04 siding {say('broken-docx')} trim",
        f"{say('file-name')}'s letter.md": page("opal", 41),
        f"notes of {say('file-name-email')}.md": page("topaz", 43),
        f"sheet {say('left-out-file')}.xlsx": "cells",
        f"{say('left-out-name')}.xlsx": "cells",
    }
    for name, text in files.items():
        (folder / name).write_text(text)


def _letter(**headers: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return message


def write_mail(folder: Path) -> None:
    """A question with an attached document, its answer, and a circular."""
    folder.mkdir()
    customer = f"{say('letter-from-name')} <{say('letter-from')}>"
    owner = f"{say('letter-own-name')} <crew@sidingcrew.example.org>"
    asked = _letter(
        From=customer,
        To=f"{owner}, {say('letter-to-name')} <t.brimblecombe@sidingcrew.example.org>",
        Subject="How long does onyx siding last on a house by the sea?",
        Message_ID="<one@letters.example.org>",
        Date="Mon, 05 Jan 2026 10:00:00 +0000",
    )
    given, family = say("letter-from-name").split()
    asked.set_content(
        f"Hello {say('letter-own-name')},\n\nhow long does onyx siding last on a house by the sea, and how often do "
        f"the boards and the trim want paint? {say('letter-to-name')} said you would know the planks best.\n\n"
        f"Kind regards\n{given} {family}\n{say('letter-signature')}\n"
    )
    asked.add_attachment(
        (page("jasper", 45) + f"\nWrite to {say('attachment-text')} about the siding.\n").encode(),
        maintype="text",
        subtype="markdown",
        filename=f"Survey for {say('attachment-name')}.md",
    )
    answer = _letter(
        From=owner,
        To=customer,
        Subject="Re: How long does onyx siding last on a house by the sea?",
        Message_ID="<two@sidingcrew.example.org>",
        In_Reply_To="<one@letters.example.org>",
        Date="Mon, 05 Jan 2026 12:00:00 +0000",
    )
    answer.set_content(
        f"Hello {given},\n\nonyx siding lasts about thirty years by the sea when the boards are nailed well, the trim "
        "is kept dry and the house is painted every five years in dry weather.\n\nKind regards\n"
        f"{say('letter-own-name')}\n"
    )
    bulk = _letter(
        From=say("left-out-letter"),
        To=owner,
        Subject=f"Siding news for {say('left-out-letter')}",
        Message_ID="<three@letters.example.org>",
        Date="Mon, 05 Jan 2026 13:00:00 +0000",
        Precedence="bulk",
    )
    bulk.set_content("Siding news: boards and trim at half price.\n")
    box = mailbox.mbox(folder / "letters.mbox")
    for message in (asked, answer, bulk):
        box.add(message)
    box.close()


def write_tables(folder: Path) -> None:
    """A table of tickets, and one without a header, whose first row is somebody."""
    folder.mkdir()
    (folder / "tickets.csv").write_text(
        "id,question,answer,requester name,requester email\n"
        f"7,How long does coral siding last on my house? Call {say('row-text')}.,"
        f'"Dear {say("row-name")}, coral siding lasts about thirty years when boards and trim are kept dry.",'
        f"{say('row-name')},{say('row-email')}\n"
    )
    (folder / "headless.csv").write_text(
        f"{say('plain-header-name')},{say('plain-header')},My siding board is loose\nOther,o@example.org,Trim\n"
    )


KIND = """
from pathlib import Path
from typing import Literal
from sovereign_tasks.sources import SourceConfig

class Quoting(SourceConfig):
    kind: Literal["quoting"]
    path: str

def collect(source, night):
    raise ValueError(Path(source.path).read_text())
"""


def write_kind(folder: Path) -> None:
    """A kind of source that fails in the words of what it reads."""
    folder.mkdir()
    (folder / "quoting.py").write_text(KIND)
    plant = ALL["collector-fault"]
    (folder / "quoted.txt").write_text(f"can't read {plant.written} <{plant.spelt[0]}>")


class Site(BaseHTTPRequestHandler):
    """A site whose links hold personal data: a page's query, a dead link, one that moved."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/":
            names = {"guide": "page-query", "gone": "dead-link", "moved": "moved-link"}
            links = "".join(f'<li><a href="/{to}?email={say(name)}">{to}</a></li>' for to, name in names.items())
            return self._give(page("pearl", 47) + f"<ul>{links}</ul>")
        if path == "/guide" and query:
            return self._give(page("amber", 49) + f"<p>Write to {say('page-text')} about siding.</p>")
        if path == "/moved":
            self.send_response(302)
            self.send_header("Location", f"/gone?from={say('moved-link')}")
            self.end_headers()
            return None
        return self.send_error(404)

    def _give(self, text: str) -> None:
        body = "".join(
            f"<h2>{part.lstrip('# ')}</h2>" if part.startswith("#") else f"<p>{part}</p>" for part in text.split("\n\n")
        )
        page_ = f"<html><head><title>Siding</title></head><body><main>{body}</main></body></html>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page_)))
        self.end_headers()
        self.wfile.write(page_)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
