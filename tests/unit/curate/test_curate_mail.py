from __future__ import annotations

from collections import Counter
from email.message import EmailMessage

import pytest

from sovereign_tasks.curate.extract import decode, extract
from sovereign_tasks.curate.mail import read_mail
from sovereign_tasks.curate.mail_words import own_words
from tests.unit.mail_corpus import Corpus, make_corpus


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return make_corpus()


def test_own_words_of_a_generated_mailbox(corpus):
    styles, right = Counter(m.style for m in corpus.sent), Counter()
    for m in corpus.sent:
        right[m.style] += read_mail(m.raw, decode) == m.words
    shares = {style: round(right[style] / styles[style], 3) for style in sorted(styles)}
    print(f"\nown text exact: {right.total() / styles.total():.4f} of {styles.total()}; {shares}")
    assert right.total() > 0.99 * styles.total()
    assert min(shares.values()) > 0.97


def message(text: str = "", markup: str = "", **headers: str) -> bytes:
    mail = EmailMessage()
    if text:
        mail.set_content(text)
    if markup and text:
        mail.add_alternative(markup, subtype="html")
    elif markup:
        mail.set_content(markup, subtype="html")
    mail["From"] = headers.get("sender", "Ava Keller <ava@post.example>")
    return mail.as_bytes()


KEPT = {
    "a list and a colon": "You need:\n\n- battens\n- nails\n\nand 12. May is the day.",
    "on in a sentence": "On Monday, 3 May I wrote: nothing yet.\n\nOn the north side it leaks.",
    "thanks with more to say": "Thanks,\n\nI will order what you name in the plan of last week.\n\nWhen does it come?",
    "from and to": "From: Ulm\nTo: Bonn\n\nHow much is the freight?",
    "what a colleague wrote": (
        "Hello,\nOn Monday 3 March your colleague Tom wrote:\n\nuse the copper nails.\n\nIs that right for slate?"
    ),
    "a form of one's own": (
        "Hi,\n\nFrom: the ridge on the north side\nDate: since Monday 10:30\nSubject: leak\n\nWhat can I do?"
    ),
    "a table": "| slope | tile |\n| 7 | seam |",
    "nothing but thanks": "Thanks!",
    "external walls": "External walls outside need a message board above.",
    "sent in a sentence": "Sent from our depot on Friday, the tiles should reach you by Tuesday at noon.\n\nWill they?",
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_what_somebody_wrote_stays(text):
    assert own_words(text, names=["ava keller"]) == text


CUT = {
    "outlook's header": "Yes.\n\n*From:* Bob <b@a.example>\n*Sent:* Monday\n*To:* Ava\n*Subject:* Roof\n\nOld words",
    "spanish header": "Yes.\n\n__________\nDe: Bob <b@a.example>\nEnviado el: lunes\nPara: Ava\nAsunto: Tejado\n\nOld",
    "danish header": ("Yes.\n\nFra: Bob <b@a.example>\nSendt: 3. marts 2025 10:00\nTil: Ava\nEmne: Tag\n\nOld words"),
    "swedish header": "Yes.\n\nFrån: Bob B.\nSkickat: den 3 mars 2025 10:00\nTill: Ava\nÄmne: Tak\n\nOld words",
    "norwegian separator": "Yes.\n\n-----Opprinnelig melding-----\nFra: Bob\n\nOld words",
    "names alone": "Yes.\n\nFrom: Bob\nSent: Monday, March 3, 2025 10:00 AM\nTo: Ava\nSubject: Roof\n\nOld words",
    "danish attribution": "Yes.\n\nDen man. 3. mar. 2025 kl. 10.00 skrev Bob B.:\n\nOld words",
    "original message": "Yes.\n\n----- Original Message -----\nFrom: Bob\n\nOld words",
    "forward with words": "Yes.\n\n---------- Forwarded message ---------\nFrom: Bob\nSubject: x\n\nOld words",
    "wrapped attribution": "Yes.\n\nOn Tue, Mar 4, 2025 at 10:00 AM Bob Longname <\nbob@a.example> wrote:\n\n> Old",
    "attribution, unmarked quote": "Yes.\n\nLe lun. 3 mars 2025 à 10:00, Bob <b@a.example> a écrit :\n\nOld words",
    "below the quote": "Bob schrieb am 03.03.2025 um 10:00:\n> Old\n\nYes.\n\n--\nAva",
    "two languages": "Yes.\n\nMed venlig hilsen / Kind regards\n\nAva Keller\nCEO",
    "name alone": "Yes.\n\nAva",
    "banner": "CAUTION: This email originated from outside of the organization.\n\nYes.",
    "mobile": "Yes.\n\nGet Outlook for iOS<https://aka.example/x>",
    "disclaimer": "Yes.\n\nVG\nAva\n\n_____\nThis message is intended solely for Bob. Tell us if it went astray.",
}


@pytest.mark.parametrize("text", CUT.values(), ids=CUT)
def test_what_is_not_their_words_goes(text):
    assert own_words(text, names=["ava keller", "ava"]) == "Yes."


def test_a_bare_forward_has_no_words_of_its_own_and_a_postscript_has():
    assert own_words("\n---------- Forwarded message ---------\nFrom: Bob\nSubject: x\n\nOld words") == ""
    assert own_words("Yes.\n\nBest,\nAva\n\nPS: The gutter too.") == "Yes.\n\nPS: The gutter too."


def test_answers_between_quotes_stay():
    text = "On 3 Mar 2025 Bob wrote:\n> How steep?\nSeven degrees.\n> And how long?\n\nA week.\n\n-- \nAva"
    assert own_words(text) == "Seven degrees.\n\nA week."


def test_html_is_read_as_it_is_shown():
    markup = (
        "<html><head><title>x</title><style>p{}</style></head><body><p>Use  these\n nails:<ul><li>40 mm<li>60 mm</ul>"
        "<div>One</div><div>Two<br></div><div><br></div><div>Three</div><blockquote style='margin:0;border:none'>"
        "indented</blockquote><div class='gmail_signature'>Ava<br>Tel. 1</div></body></html>"
    )
    assert (
        read_mail(message(markup=markup), decode)
        == "Use these nails:\n\n- 40 mm\n- 60 mm\n\nOne\nTwo\n\nThree\nindented"
    )
    inline = (
        '<div class="gmail_attr">On Mon Bob wrote:</div><blockquote class="gmail_quote">How?</blockquote><div>Seven.'
        '</div><blockquote class="gmail_quote">How long?</blockquote><div>A week.</div>'
    )
    assert read_mail(message(markup=inline), decode) == "Seven.\n\nA week."


def test_the_plain_part_goes_first_unless_it_is_empty():
    assert read_mail(message("Plain.", "<p>Rich."), decode) == "Plain."
    assert read_mail(message(" \n", "<p>Rich."), decode) == "Rich."
    assert read_mail(b"Content-Type: image/png\n\nxx", decode) == ""
    flowed = b"Content-Type: text/plain; format=flowed; delsp=yes\n\nDach \nrinne\n> old \n> words\n-- \nAva"
    assert read_mail(flowed, decode) == "Dachrinne"


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1252", "utf-16", "x-nonsense", ""])
def test_charsets_that_are_right_wrong_or_missing(charset):
    text = "Die Größe der Dachfläche beträgt zwölf Meter, über der Tür."
    real = charset if charset not in ("x-nonsense", "") else "cp1252"
    head = f'Content-Type: text/plain; charset="{charset}"\n' if charset else ""
    assert read_mail(f"{head}Content-Transfer-Encoding: 8bit\n\n".encode() + text.encode(real), decode) == text


def test_mail_is_dispatched_with_the_title_it_was_given():
    got = extract(message("Seven degrees.\n\n-- \nAva"), "message/rfc822", "Pitch")
    assert (got.title, got.text) == ("Pitch", "Seven degrees.")


@pytest.mark.parametrize(
    "unit",
    ["On 1 wrote ", "a@b wrote ", "Best,\n", "--\n", "a\n", "From: a@b\n", "<div>", "<blockquote>", "<br>", ">", " \n"],
)
def test_hostile_text_comes_to_an_end(unit):
    """A search that backtracks would take hours at this length."""
    kind = "html" if unit.startswith("<") else "plain; format=flowed"
    text = unit * 200_000
    assert len(read_mail(f"Content-Type: text/{kind}\n\n{text}".encode(), decode)) <= 500_000
