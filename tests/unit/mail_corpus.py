"""A seeded mailbox of a roofer's correspondence that knows every message's thread, parent and own words.

Clients differ in how they quote (above, below, between), in HTML, signatures, wrapping and charsets; some mail is
missing, some has no references, and some Message-IDs occur twice.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from pathlib import Path
from random import Random

OWN = "roofcare.example"
AGENTS = [("Dana Hill", f"dana@{OWN}"), ("Jonas Weber", f"jonas.weber@{OWN}"), ("RoofCare Support", f"support@{OWN}")]
FIRST = "Ava Ben Carla Dmitri Elena Felix Greta Hugo Ines Jakob Karin Luis Marta Nils Olga Pedro Rosa Sven Tara".split()
LAST = "Abbott Bauer Cortez Dubois Eriksen Fontaine Gruber Horvat Iglesias Jansen Keller Lambert Moreau Novak".split()
GREETINGS = {
    "en": ["Hi {n},", "Hello,", "Dear {n},", "Good morning {n},", ""],
    "de": ["Hallo {n},", "Guten Tag,", "Liebe Frau {n},", ""],
    "fr": ["Bonjour {n},", "Bonjour,", ""],
    "es": ["Hola {n},", "Buenos días,", ""],
}
SENTENCES = {
    "en": [
        "The gutter over the north door has leaked since storm number {k}.",
        "Could you tell me whether {k} mm boards would carry the new tiles?",
        "We measured the ridge again and found {k} cm more than on your plan.",
        "Standing seam needs a pitch of at least {k} degrees to stay dry.",
        "From what I can see, the flashing is {k} years old and should be replaced.",
        "A crew of three lays about {k} square metres of shingles a day.",
        "Thanks for the quick answer about sheet {k}!",
        "Is it possible to keep the old battens, or is variant {k} safer in the long run?",
        "On warm days the membrane can be welded at {k} degrees, which saves time.",
        "Please check the valley near the chimney, where {k} tiles came loose; the water runs into the attic there.",
        "You wrote that delivery takes {k} days, and I would like to know from when on.",
    ],
    "de": [
        "Die Dachrinne über der Nordtür ist seit Sturm Nummer {k} undicht.",
        "Können Sie mir sagen, ob Bretter mit {k} mm die neuen Ziegel tragen?",
        "Für ein Stehfalzdach braucht es mindestens {k} Grad Neigung, sonst läuft Wasser zurück.",
        "Am Montag haben wir den First neu vermessen: Es sind {k} cm mehr als im Plan.",
        "Größere Flächen decken wir mit drei Leuten in {k} Tagen.",
    ],
    "fr": [
        "La gouttière au-dessus de la porte nord fuit depuis la tempête numéro {k}.",
        "Pouvez-vous me dire si des planches de {k} mm porteront les nouvelles tuiles ?",
        "Le faîtage mesure {k} cm de plus que sur votre plan, d'après notre relevé.",
        "Une équipe de trois personnes pose environ {k} mètres carrés par jour.",
    ],
    "es": [
        "El canalón sobre la puerta norte gotea desde la tormenta número {k}.",
        "¿Puede decirme si tablas de {k} mm soportarían las tejas nuevas?",
        "La cumbrera mide {k} cm más que en su plano, según nuestra medición.",
        "El año pasado cambiamos {k} tejas cerca de la chimenea.",
    ],
}
SIGN_OFFS = {
    "en": ["Best regards,", "Kind regards", "Thanks,", "Many thanks,", "Cheers,", "Best,", "Thank you,", "Sincerely,"],
    "de": [
        "Mit freundlichen Grüßen",
        "Viele Grüße",
        "Beste Grüße,",
        "Danke und Gruß",
        "MfG",
        "Herzliche Grüße aus Ulm",
    ],
    "fr": ["Cordialement,", "Bien à vous,", "Bonne journée,", "Meilleures salutations"],
    "es": ["Saludos,", "Un saludo,", "Atentamente,", "Muchas gracias,", "Saludos cordiales"],
}
MOBILE = {
    "en": ["Sent from my iPhone", "Get Outlook for iOS", "Sent from my Galaxy", "Sent from Outlook for Android"],
    "de": [
        "Von meinem iPhone gesendet",
        "Gesendet mit der GMX Mail App",
        "Von meinem Samsung Galaxy Smartphone gesendet.",
    ],
    "fr": ["Envoyé de mon iPhone"],
    "es": ["Enviado desde mi iPhone"],
}
DISCLAIMERS = [
    "This email and any attachments are confidential and intended solely for the use of the individual to whom they "
    "are addressed. If you have received this message in error, please delete it and notify the sender.",
    "CONFIDENTIALITY NOTICE: The information in this transmission is privileged. Any review by others is prohibited.",
    "Diese E-Mail enthält vertrauliche und/oder rechtlich geschützte Informationen. Wenn Sie nicht der richtige "
    "Adressat sind, vernichten Sie diese Mail bitte.",
    "Please consider the environment before printing this e-mail.",
]
WROTE = {
    "en": ["On {d:%a, %b %d, %Y} at {d:%H:%M}, {n} <{a}> wrote:", "On {d:%d %b %Y}, at {d:%H:%M}, {n} <{a}> wrote:"],
    "de": ["Am {d:%d.%m.%Y} um {d:%H:%M} schrieb {n}:", "Am {d:%d.%m.%Y} um {d:%H:%M} schrieb {n} <{a}>:"],
    "fr": ["Le {d:%d/%m/%Y} à {d:%H:%M}, {n} a écrit :", "Le {d:%d %b %Y} à {d:%H:%M}, {n} <{a}> a écrit :"],
    "es": ["El {d:%d/%m/%Y} a las {d:%H:%M}, {n} escribió:", "El {d:%d %b %Y}, {n} (<{a}>) escribió:"],
}
FIELDS = {
    "en": ("From", "Sent", "To", "Subject", "-----Original Message-----"),
    "de": ("Von", "Gesendet", "An", "Betreff", "-----Ursprüngliche Nachricht-----"),
    "fr": ("De ", "Envoyé ", "À ", "Objet ", "-----Message d'origine-----"),
    "es": ("De", "Enviado", "Para", "Asunto", "-----Mensaje original-----"),
}
MARKS = {"en": ["Re: "], "de": ["AW: ", "Re: "], "fr": ["RE: ", "Re : "], "es": ["RE: ", "Re: "]}
SUBJECTS = [
    "Leak above the door",
    "Tiles for the shed",
    "Angebot Dach",
    "Question",
    "Gouttière",
    "Tejado",
    "Ridge plan",
]


@dataclass
class Sent:
    """One message: what its client made of its words, whom it answers, and whether the mailbox has it."""

    number: int
    thread: int
    parent: Sent | None
    ours: bool
    name: str
    address: str
    to: list[tuple[str, str]]
    date: datetime
    subject: str
    marked: str
    language: str
    paragraphs: list[str]
    style: str
    message_id: str
    """Empty for a client that gives none; then no answer can name it."""
    here: bool = True
    unquoted: str = ""
    raw: bytes = b""

    @property
    def words(self) -> str:
        """The message's own text, as a reader should get it."""
        return "\n\n".join(self.paragraphs)


@dataclass
class Corpus:
    """The mailbox's messages in the order of their dates, other mail with the reason it should be left out."""

    sent: list[Sent]
    noise: list[tuple[str, bytes]]
    copies: list[Sent] = field(default_factory=list)

    @property
    def pairs(self) -> set[tuple[int, int]]:
        """(question, answer): a message from outside and one of ours that answers it, both in the mailbox."""
        return {
            (m.parent.number, m.number)
            for m in self.sent
            if m.here and m.ours and m.parent and m.parent.here and not m.parent.ours
        }

    def write(self, folder: Path) -> None:
        """Inbox.mbox with what came and Sent.mbox with what was written; copies are in both."""
        inbox = [m.raw for m in self.sent if m.here and not m.ours] + [m.raw for m in self.copies]
        inbox += [raw for _, raw in self.noise]
        (folder / "Inbox.mbox").write_bytes(b"".join(map(entry, inbox)))
        (folder / "Sent.mbox").write_bytes(b"".join(entry(m.raw) for m in self.sent if m.here and m.ours))


def entry(raw: bytes) -> bytes:
    """A message as an mbox holds it."""
    lines = raw.replace(b"\r\n", b"\n").split(b"\n")
    quoted = b"\n".join(b">" + line if line.lstrip(b">").startswith(b"From ") else line for line in lines)
    return b"From someone@example.com Thu Jan  2 03:04:05 2025\n" + quoted.rstrip(b"\n") + b"\n\n"


def make_corpus(seed: int = 1, size: int = 2000) -> Corpus:
    """About `size` messages, a twentieth of them other mail."""
    rng = Random(seed)
    start = datetime(2025, 1, 6, 8, tzinfo=UTC)
    sent: list[Sent] = []
    thread = 0
    while len(sent) < size * 0.97:
        thread += 1
        sent += _thread(rng, thread, len(sent), start + timedelta(hours=3.1 * thread))
    for message in sent:
        message.here = rng.random() > 0.04
    for message in rng.sample(sent, 8):  # a broken client that uses an id again
        message.message_id = rng.choice(sent).message_id
    for message in rng.sample(sent, size // 100):
        message.message_id = ""
    for message in sent:
        _compose(rng, message)
    noise = [_noise(rng, n, start) for n in range(size // 20)]
    sent.sort(key=lambda m: m.date)
    return Corpus(sent, noise, rng.sample([m for m in sent if m.here and m.ours], 20))


def _thread(rng: Random, thread: int, first: int, date: datetime) -> list[Sent]:
    language = rng.choice(["en"] * 5 + ["de", "de", "fr", "es"])
    customer = f"{rng.choice(FIRST)} {rng.choice(LAST)}"
    address = (
        f"{customer.lower().replace(' ', '.')}{thread}@{rng.choice(['mail.example', 'post.example', 'acme.example'])}"
    )
    agent = rng.choice(AGENTS)
    subject = rng.choice(SUBJECTS) + (f" {thread}" if rng.random() < 0.7 else "")
    if rng.random() < 0.1:
        subject = f"[Ticket #{4000 + thread}] {subject}"
    style = {False: rng.choice(list(STYLES)), True: rng.choice(list(STYLES))}
    messages: list[Sent] = []
    for n in range(rng.choice([1, 2, 2, 2, 3, 3, 4, 5, 6, 8])):
        date += timedelta(minutes=rng.randint(7, 2000))
        ours = bool(n % 2) if rng.random() < 0.85 else rng.random() < 0.5
        ours = ours and n > 0
        earlier = [m for m in messages if m.ours != ours] or messages
        parent = None if not messages else earlier[-1] if rng.random() < 0.93 else rng.choice(earlier)
        people = [(customer, address), agent]
        name, sender = people[ours]
        messages.append(
            Sent(
                number=first + n,
                thread=thread,
                parent=parent,
                ours=ours,
                name=name,
                address=sender,
                to=[people[not ours]],
                date=date,
                subject=subject,
                marked=rng.choice(MARKS[language]) if parent else "",
                language=language,
                paragraphs=_paragraphs(rng, language, people[not ours][0].split()[0], bool(parent)),
                style=style[ours],
                message_id=f"<{rng.getrandbits(64):x}.{first + n}@{sender.partition('@')[2]}>",
            )
        )
    return messages


def _paragraphs(rng: Random, language: str, name: str, answer: bool) -> list[str]:
    pool = SENTENCES[language]
    paragraphs = [" ".join(s.format(k=rng.randint(2, 9999)) for s in rng.sample(pool, rng.randint(1, 3)))]
    paragraphs += [rng.choice(pool).format(k=rng.randint(2, 9999)) for _ in range(rng.choice([0, 0, 1, 2]))]
    if answer and rng.random() < 0.2:
        paragraphs.append("\n".join(f"{i}. Step {i} takes {rng.randint(2, 90)} minutes" for i in range(1, 4)))
    if greeting := rng.choice(GREETINGS[language]).format(n=name):
        paragraphs.insert(0, greeting)
    return paragraphs


def _signature(rng: Random, m: Sent) -> list[str]:
    """Lines below the words; empty for one who just stops."""
    first = m.name.split()[0]
    company = "RoofCare Ltd" if m.ours else f"{m.name.split()[-1]} & Sons"
    contact = [f"{company} | Main St {rng.randint(1, 99)}", f"Tel. +49 731 {rng.randint(10000, 99999)}", f"www.{OWN}"]
    title = rng.choice(["Customer Service", "Head of Sales", "Dipl.-Ing.", "Project Manager"])
    off = rng.choice(SIGN_OFFS[m.language])
    lines = rng.choice(
        [
            [],
            ["-- ", m.name, *contact],
            [off, m.name],
            [off, "", first, "", *contact],
            [off, m.name, title, *contact, m.address],
            [f"{off.rstrip(',')}, {first}"],
            [first],
            [rng.choice(MOBILE[m.language])],
            [off, first, "", rng.choice(MOBILE[m.language])],
            [off, m.name, *contact, "", rng.choice(DISCLAIMERS)],
            [off, "", "--", m.name, title, *contact],
        ]
    )
    return ["", *lines] if lines else []


def _wrap(paragraph: str, width: int) -> str:
    return "\n".join(
        textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in paragraph.split("\n")
    )


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" if line and line[0] != ">" else f">{line}" for line in text.split("\n"))


def _wrote(rng: Random, m: Sent) -> str:
    assert m.parent
    return rng.choice(WROTE[m.language]).format(d=m.parent.date, n=m.parent.name, a=m.parent.address)


def _fields(m: Sent, mark: str = "") -> list[str]:
    assert m.parent
    sent_by, sent, to, subject, _ = FIELDS[m.language]
    return [
        f"{mark}{sent_by}:{mark} {m.parent.name} <{m.parent.address}>",
        f"{mark}{sent}:{mark} {m.parent.date:%A, %d %B %Y %H:%M}",
        f"{mark}{to}:{mark} {m.name} <{m.address}>",
        f"{mark}{subject}:{mark} {m.parent.marked}{m.subject}",
    ]


def _plain(rng: Random, m: Sent, above: bool, width: int = 72) -> str:
    own = "\n\n".join(_wrap(p, width) if width else p for p in m.paragraphs)
    signature = "\n".join(_signature(rng, m))
    m.unquoted = own + "\n" + signature
    if not m.parent:
        return m.unquoted
    quote = f"{_wrap(_wrote(rng, m), 76)}\n{chr(10) * rng.randint(0, 1)}{_quoted(m.parent.unquoted)}"
    return f"{m.unquoted}\n\n{quote}\n" if above else f"{quote}\n\n{m.unquoted}\n"


def top_post(rng: Random, m: Sent) -> EmailMessage:
    return _text(rng, m, _plain(rng, m, True))


def bottom_post(rng: Random, m: Sent) -> EmailMessage:
    return _text(rng, m, _plain(rng, m, False))


def inline(rng: Random, m: Sent) -> EmailMessage:
    """Answers between the parent's paragraphs."""
    if not m.parent or len(m.paragraphs) < 2:
        return bottom_post(rng, m)
    theirs = [_wrap(p, 70) for p in m.parent.paragraphs]
    own = [_wrap(p, 72) for p in m.paragraphs]
    signature = "\n".join(_signature(rng, m))
    m.unquoted = "\n\n".join(own) + "\n" + signature
    blocks = [_wrote(rng, m)]
    for n, paragraph in enumerate(own):
        blocks += [_quoted(theirs[n]), "", paragraph, ""] if n < len(theirs) else [paragraph, ""]
    return _text(rng, m, "\n".join(blocks) + signature)


def outlook_plain(rng: Random, m: Sent) -> EmailMessage:
    """Outlook in plain text: unmarked quotes below header fields, unwrapped lines."""
    m.unquoted = "\n\n".join(m.paragraphs) + "\n" + "\n".join(_signature(rng, m))
    text = m.unquoted
    if m.parent:
        top = rng.choice([FIELDS[m.language][4], "_" * 32, ""])
        text += "\n\n" + "\n".join([top, *_fields(m), "", m.parent.unquoted])
    return _text(rng, m, text)


def flowed(rng: Random, m: Sent) -> EmailMessage:
    """Thunderbird: format=flowed, below or above the quote."""
    own = "\n\n".join(_wrap(p, 71).replace("\n", " \n") if "\n" not in p else p for p in m.paragraphs)
    m.unquoted = own + "\n" + "\n".join(_signature(rng, m))
    text = m.unquoted
    if m.parent:
        quote = f"{_wrote(rng, m)}\n{_quoted(m.parent.unquoted)}"
        text = f"{quote}\n\n{text}" if rng.random() < 0.5 else f"{text}\n\n{quote}"
    message = _text(rng, m, text)
    message.set_param("format", "flowed")
    return message


def _html(m: Sent, paragraphs: Sequence[str], tag: Callable[[str], str]) -> str:
    return "".join(tag("<br>".join(escape(line, quote=False) for line in p.split("\n"))) for p in paragraphs)


def gmail(rng: Random, m: Sent) -> EmailMessage:
    """Gmail: both parts, or HTML alone; an answer above the quote."""
    plain = _plain(rng, m, True, 0)
    signature = "<br>".join(escape(line) for line in plain[len(m.words) + 1 : len(m.unquoted)].split("\n"))
    own = _html(m, m.paragraphs, lambda p: f"<div>{p}</div><div><br></div>")
    markup = f'<div dir="ltr">{own}<div>{signature}</div></div>'
    if m.parent:
        theirs = _html(m, m.parent.paragraphs, lambda p: f"<div>{p}</div><div><br></div>")
        markup += (
            f'<br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">{escape(_wrote(rng, m))}<br></div>'
            f'<blockquote class="gmail_quote" style="margin:0;border-left:1px #ccc solid">{theirs}</blockquote></div>'
        )
    if rng.random() < 0.5:
        return _text(rng, m, markup, "html")
    message = _text(rng, m, plain)
    message.add_alternative(markup, subtype="html")
    return message


def outlook_html(rng: Random, m: Sent) -> EmailMessage:
    """Outlook: the desktop's bordered header or the web's divRplyFwdMsg, and the quote unmarked."""
    signature = _signature(rng, m)
    m.unquoted = m.words + "\n" + "\n".join(signature)
    own = _html(m, m.paragraphs, lambda p: f'<p class="MsoNormal">{p}</p>\r\n')
    own += "".join(f'<p class="MsoNormal">{escape(line) or "&nbsp;"}</p>' for line in signature)
    markup = f"<html><head><style>p.MsoNormal {{margin:0}}</style></head><body><div class=WordSection1>{own}"
    if m.parent:
        theirs = _html(m, m.parent.paragraphs, lambda p: f'<p class="MsoNormal">{p}</p>')
        lines = "<br>".join(f"<b>{escape(f).replace(':', ':</b>', 1)}" for f in _fields(m))
        if rng.random() < 0.5:
            markup += (
                '<div><div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm">'
                f'<p class="MsoNormal">{lines}</p></div></div>{theirs}</div>'
            )
        else:
            markup += (
                f'</div><div id="appendonsend"></div><hr><div id="divRplyFwdMsg">{lines}<div>&nbsp;</div></div>{theirs}'
            )
    return _text(rng, m, markup + "</body></html>", "html")


def apple(rng: Random, m: Sent) -> EmailMessage:
    """Apple Mail: HTML with a cited block, above or below."""
    signature = _signature(rng, m)
    m.unquoted = m.words + "\n" + "\n".join(signature)
    own = _html(m, m.paragraphs, lambda p: f"<div>{p}</div><div><br></div>")
    own += "".join(f"<div>{escape(line) or '<br>'}</div>" for line in signature)
    markup = f'<html><body style="word-wrap: break-word;">{own}'
    if m.parent:
        theirs = _html(m, m.parent.paragraphs, lambda p: f"<div>{p}</div><div><br></div>")
        quote = f'<br><blockquote type="cite"><div>{escape(_wrote(rng, m))}</div><br><div>{theirs}</div></blockquote>'
        markup = markup + quote if rng.random() < 0.7 else f"<html><body>{quote}<div><br></div>{own}"
    return _text(rng, m, markup + "</body></html>", "html")


STYLES: dict[str, Callable[[Random, Sent], EmailMessage]] = {
    f.__name__: f for f in (top_post, bottom_post, inline, outlook_plain, flowed, gmail, outlook_html, apple)
}


def _text(rng: Random, m: Sent, text: str, subtype: str = "plain") -> EmailMessage:
    message = EmailMessage()
    charset, encoding = rng.choice(
        [
            ("utf-8", "quoted-printable"),
            ("utf-8", "base64"),
            ("utf-8", "8bit"),
            ("iso-8859-1", "quoted-printable"),
            ("windows-1252", "8bit"),
        ]
    )
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        charset = "utf-8"
    message.set_content(text, subtype=subtype, charset=charset, cte=encoding)
    return message


def _compose(rng: Random, m: Sent) -> None:
    """The message's bytes, its headers with the references that its client would give."""
    message = STYLES[m.style](rng, m)
    message["X-Number"] = str(m.number)
    message["From"] = f'"{m.name}" <{m.address}>'
    message["To"] = ", ".join(f"{name} <{address}>" for name, address in m.to)
    message["Date"] = format_datetime(m.date)
    message["Subject"] = m.marked + m.subject
    if m.message_id:
        message["Message-ID"] = m.message_id
    names = rng.random()
    if m.parent and names > 0.05:  # else a client that names nothing
        if m.parent.message_id:
            message["In-Reply-To"] = m.parent.message_id
        chain, above = [], m.parent
        while above:
            chain.insert(0, above.message_id)
            above = above.parent
        if names > 0.15 and any(chain):
            message["References"] = " ".join(chain)
    if rng.random() < 0.08:
        message.add_attachment(rng.randbytes(300), maintype="image", subtype="png", filename="roof.png")
    m.raw = message.as_bytes()


def _noise(rng: Random, number: int, start: datetime) -> tuple[str, bytes]:
    """Mail that is no letter, and the reason it goes by."""
    message = EmailMessage()
    message["From"] = f"shop{number}@post.example"
    message["To"] = f"support@{OWN}"
    message["Date"] = format_datetime(start + timedelta(hours=number))
    message["Message-ID"] = f"<noise.{number}@post.example>"
    message["Subject"] = "Notice"
    message.set_content("Some words about tiles and ridges that nobody should learn from.")
    reason = rng.choice(["bulk", "auto_reply", "bounce", "internal", "invitation", "encrypted", "spam"])
    if reason == "bulk":
        message["List-Unsubscribe"] = "<https://post.example/off>"
    elif reason == "auto_reply":
        message["Auto-Submitted"] = "auto-replied"
    elif reason == "bounce":
        message.replace_header("From", "MAILER-DAEMON@post.example")
    elif reason == "internal":
        message.replace_header("From", f"dana@{OWN}")
    elif reason == "invitation":
        message.add_alternative("BEGIN:VCALENDAR\nEND:VCALENDAR\n", subtype="calendar")
    elif reason == "encrypted":
        message.set_content("-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----\n")
    else:
        message["X-Spam-Flag"] = "YES"
    return reason, message.as_bytes()
