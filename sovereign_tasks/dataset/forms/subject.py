"""Whether a question stands alone, and the subject of its page where it doesn't.

A question leans on its page when a pronoun in it has nothing to refer to, or when no word of it says what it is about
("What does it cost?", "What are the symptoms?"). It then begins with the page's subject: "Slate roofs: what does it
cost?" Without a subject it makes no example.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

Fault = tuple[str, str]

_ASKING = (
    "what what's who who's whom whose which when where why how how's is are was were am do does did can could should "
    "shall will would may might must has have had isn't aren't don't doesn't didn't can't shouldn't won't"
)
_ASKS = re.compile(rf"(?:{'|'.join(_ASKING.split())})\b", re.IGNORECASE)
_LEADS = re.compile(
    r"(?:if|when|after|before|for|in|on|at|with|to|from|by|about|under|and|but|so|then)\b", re.IGNORECASE
)
# A question that was put together with a title that asks or tells something itself.
_AGAIN = re.compile(
    r"(?:\b[a-z]+|\)) (?:What|How|Why|Who|When|Where|Am|Is|Are|Do|Does|Can)\b(?! [A-Z][a-z])"
    r"|: (?:What|How|Why|Who|When|Where)\b"
)
# What a page asks its reader, without an answer below.
_APPEALS = re.compile(
    r"(?:do you (?:need|want|know|think|like|love|remember|suffer|struggle|own|live|agree|still|ever|feel)"
    r"|are you (?:ready|looking|sure|interested|tired|struggling|still|thinking|considering|an?|one|new)\b"
    r"|have (?:you\b|an?y? |more |some |questions|feedback)|would you (?:like|rather)|did you (?:know|find|enjoy|like)"
    r"|was this|is this page|(?:how )?can we help|how (?:can|may) we help|what do you think|what are you waiting"
    r"|what(?:'s| is) your|who are (?:we|you)|how are you|why (?:choose|not)|can't find|what about you)",
    re.IGNORECASE,
)
_STOP = frozenset(
    (
        f"{_ASKING} "
        "a an the and or but of for to in on at by with from as into about than then that this these those it "
        "its they them their he him his she her i me my we us our you your one ones there here if so not no "
        "be been being any some all each every more most much many long often far old new good best better "
        "right other another ask asks asked first second third last final only also very just too up out off "
        "over get gets got make makes made take takes use used using go goes come happen happens happened "
        "work works need needs mean means know say says tell look like want start begin next now else ever "
        "still really long-term it's that's they're you're i'm "
    ).split()
)
# Nouns that need another to say of what.
_GENERAL = frozenset(
    (
        "cost costs price prices time times day days year years step steps way ways thing things kind kinds type types "
        "sort sorts option options benefit benefits advantage advantages disadvantage disadvantages problem problems "
        "issue issues symptom symptoms sign signs cause causes caused risk risks factor factors treatment treatments "
        "treat treated outlook prognosis diagnosis diagnosed diagnose test tests complication complications prevent "
        "prevented prevention result results difference differences process procedure reason reasons answer question "
        "questions part parts goal goals purpose point points fact facts effect effects side safe possible worth "
        "matter important common affected information help include includes included people person available "
        "alternative alternatives requirement requirements example examples story plan change changes last lasts "
        "different future background summary conclusion history rule rules deal catch idea feature features"
    ).split()
)
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_PRONOUN = frozenset("it its they them their he him his she her this these those ones it's they're".split())
_EXPLETIVE = re.compile(
    r"\b(?:is|was|will|does|did|would|can|should|do|could) (?:it|there) (?:[\w-]+ ){0,6}?(?:to|that|if|when|for)\b"
    r"|\b(?:is|are|was|were) there\b|\bwhen it (?:rains|snows|hails|freezes|is)\b|\bit (?:rains|snows|hails"
    r"|comes to)\b",
    re.IGNORECASE,
)
_NAMES = re.compile(r"\b(?:an?|the|my|your|our|any|some|each|every|no|\d+)\s+[\w-]+", re.IGNORECASE)
_NO_SUBJECT = re.compile(
    r"(?:the )?(?:faqs?|frequently asked questions?|(?:common )?questions?(?: (?:and|&) answers?)?|q ?(?:&"
    r"|and) ?a|home ?page"
    r"|home|blog|news|index|about(?: us)?|contact(?: us)?|untitled|welcome|overview|introduction|details|more"
    r"|article|page|post|document|read ?me|help|support|general|other|resources|miscellaneous|what we know|what to know"
    r"|cost|costs|price|prices|pricing|steps|summary|conclusion|tips|background|the basics|basics|key facts|facts"
    r"|description|usage|use|notes?|advice|information)",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:review|opinion|video|guide|news|analysis|q&a|explainer|interview|exclusive|watch|update|faqs?|notes?|how-?to"
    r"|tutorial|announcing|introducing|explained|preview|hands-on|live)",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"(?:(?:faqs?|frequently asked questions?|(?:common )?questions?(?: and answers?)?|facts|what (?:i"
    r"|you) need to know"
    r"|what to know|everything you need to know|all)(?: about| on| for|:| -)|about|what (?:is|are)(?: an?"
    r"| the)?)\s+(?=\S)",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"[\s:,|–—-]+(?:faqs?|frequently asked questions?|questions? (?:and|&) answers?|q&a|glossary)$", re.IGNORECASE
)
_PROCESS = re.compile(r"installation|repair|removal|assembly|preparation|setup|\w{3,}ing")  # never a name
_NO_PROSE = re.compile(r"^#[^\n]*$|`[^`\n]{1,300}`|```.*?(?:^```|\Z)|\bhttps?://\S+", re.MULTILINE | re.DOTALL)
_MOST_CHARS, _MOST_WORDS = 75, 11


@dataclass(frozen=True)
class Subject:
    """What a page, or a part of it, is about.

    `page` is the name by its title alone; `text` is the page's, by which words are brought to lower case.
    """

    name: str
    page: str
    text: str

    def put(self, question: str) -> tuple[str, Fault | None]:
        """The question so that it stands alone; with a fault where it doesn't, or asks nothing."""
        fault = asks_nothing(question)
        if fault:
            return question, fault
        leaning = leans(question, self.name)
        if not leaning or (not self.name and _names_something(question)):
            return question, None
        return self.lead(question, leaning)

    def lead(self, question: str, why: str = "") -> tuple[str, Fault | None]:
        """The question behind the subject's name."""
        if not self.name:
            return question, ("no_subject", why or "the page has no title to ask about")
        first, _, rest = question.partition(" ")
        small = first.lower() if _ASKS.fullmatch(first) or _LEADS.fullmatch(first) else first
        return f"{self.name}: {small} {rest}", None

    def is_in(self, words: str) -> bool:
        """Whether words name the page's subject, or some of it."""
        return bool(set(content(words)) & set(content(self.page)))

    def small(self, words: str) -> str:
        """Words of a heading as they stand in a sentence: in lower case unless the page writes them as a name."""
        *before, last = words.split() or [""]
        return " ".join(["a" if word == "A" else self._small(word) for word in before] + [self._small(last)])

    def _small(self, word: str) -> str:
        core = word.strip(".,:;!?()\"'")
        lower = core.lower()
        if not core[:1].isupper() or len(core) == 1 or (core[1:] and not core[1:].islower()):
            return word
        written = _counts(self.text)
        common = lower in _GENERAL or written[lower] or _PROCESS.fullmatch(lower)
        named = not common or written[lower] < written[f" {core}"]
        return word if named and lower not in _STOP else word.replace(core, lower)

    def writes_small(self, words: str) -> bool:
        """Whether the page writes one of these words in lower case, so that they are no name."""
        return any(_counts(self.text)[word.lower()] for word in _WORD.findall(words) if word.lower() not in _STOP)


def find_subject(title: str, above: Sequence[str], text: str) -> Subject:
    """The subject of what stands below headings `above` on a page of this title: the page's, and a nearer one if any.

    A name is no subject if it is a question, a label of every page ("FAQ", "Overview") or too long to be a name.
    """
    names: list[str] = []
    for heading in (title, *above[-1:]):
        name = _name(heading)
        if name and not (names and set(content(name)) <= set(content(names[0]))):
            names.append(name)
    return Subject(", ".join(names), _name(title), text)


def content(words: str) -> list[str]:
    """The words that say what something is about, in lower case and without a plural's s."""
    return [_stem(w) for w in _WORD.findall(words.lower()) if w not in _STOP and w not in _GENERAL and len(w) > 1]


def leans(question: str, subject: str) -> str:
    """Why a question doesn't stand alone, or nothing."""
    if pronoun := _refers(question):
        return f"'{pronoun}' refers to nothing in it"
    told, known = content(question), set(content(subject))
    if not told:
        return "no word says what it is about"
    if known.intersection(told):
        return ""
    defines = re.fullmatch(r"what(?:'s| is| are| does) (?:an? |the )?\S+(?: mean| do)?\??", question, re.IGNORECASE)
    if len(told) == 1 and not defines:
        return f"'{told[0]}' alone says what it is about"
    if len(told) == 2 and re.search(rf"\bthe (?:{told[0]}|{told[1]})", question.lower()):
        return "it names things by 'the' alone"
    return ""


def _refers(question: str) -> str:
    """A pronoun that refers to nothing in the question, if there is one."""
    words = _WORD.findall(question.lower())
    place = next((n for n, w in enumerate(words) if w in _PRONOUN), None)
    if place is None or _EXPLETIVE.search(question):
        return ""
    before = " ".join(words[:place])
    told = content(before)
    known = _NAMES.search(before) or len(told) >= 2 or (told and words[place] == "ones")
    return "" if known else words[place]


def _names_something(question: str) -> bool:
    """Whether a question says at least something of what it is about, and refers to nothing outside it."""
    return bool(content(question)) and not _refers(question)


def asks_nothing(question: str) -> Fault | None:
    """Why words with a question mark are no question of a reader, if so."""
    words = question.split()
    asks = _ASKS.match(question) or (
        _LEADS.match(question) and re.search(rf"(?:[,:]\s+|^\w+ ){_ASKS.pattern}", question, re.IGNORECASE)
    )
    if asks and _AGAIN.search(question):
        return "no_question", question[:60]
    if not asks or len(words) < 2 or "?" in question[:-1]:
        return "no_question", question[:60]
    if _APPEALS.match(question):
        return "appeal", question[:60]
    return None


@lru_cache(maxsize=4)
def _counts(text: str) -> Counter[str]:
    """How often a page writes each of its words; capitals within a sentence count with a space before them."""
    text = _NO_PROSE.sub("", text)
    counts = Counter(_WORD.findall(text))
    counts.update(f" {word}" for word in re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", text))
    return counts


def _name(heading: str) -> str:
    if len(heading) > 2 * _MOST_CHARS:
        return ""
    name = _AFTER.sub("", heading.strip().rstrip(".:!"))
    name = re.sub(r"^(?:\d{1,2}[.):]|step \d{1,2}[.:]?)\s+", "", name, flags=re.IGNORECASE)
    before, colon, after = name.partition(": ")
    if colon:
        name = after if _LABEL.fullmatch(before.strip()) else before
    if found := _ABOUT.match(name):
        name = name[found.end() :]
    name = name.strip().rstrip("?") if found else name.strip()
    name = name[:1].upper() + name[1:]
    usable = 0 < len(name) <= _MOST_CHARS and len(name.split()) <= _MOST_WORDS and re.search(r"[^\W\d_]{2}", name)
    return name if usable and "?" not in name and not _NO_SUBJECT.fullmatch(name) else ""


def _stem(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3 else word
