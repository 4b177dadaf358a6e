"""Statements that answer a plain question: definitions, glossary entries, and lists of key points."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sovereign_tasks.dataset.forms.outline import Block, Outline, Section
from sovereign_tasks.dataset.forms.passage import Passage, plain
from sovereign_tasks.dataset.forms.subject import Fault, content, find_subject

_DEFINES = re.compile(
    r"(?P<article>(?:an?|the)\s+)?(?P<term>[^\n.!?:;]{2,80}?)(?P<also>\s*\([^()\n]{1,60}\)|, (?:or"
    r"|also (?:called|known as)) [^,\n]{2,60},)?"
    r"\s+(?P<verb>is|are|means|refers? to|describes?)\s+(?P<rest>[^\n]{10,})",
    re.IGNORECASE,
)
# After "is": what begins the name of a kind of thing. After "are": what begins something else.
_KIND = re.compile(
    r"(?:an?|any|one of (?:the|several|many)|another (?:word|name|term)|when|where|the (?!best|worst|most|least"
    r"|only|first|last|same|new|latest"
    r"|next|right|wrong|time|one|reason|way|cheapest|perfect|ideal|easiest|great|key\b|answer|old|big|small"
    r"|high|low|long|short)\w+)\b",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"(?:not|also|available|often|very|more|less|now|here|being|going|still|always|currently|expected|likely"
    r"|common|popular|important|good"
    r"|great|best|worth|considered|known|well|used|made|found|usually|never|among|in|on|at|the|all|both"
    r"|required|sold|too|so|as|easy|hard"
    r"|cheap|expensive|\w+ed|\w+ing)\b",
    re.IGNORECASE,
)
_GLOSSARY = re.compile(
    r"(?:.{0,60}\s)?(?:glossary|terms|terminology|definitions|vocabulary|dictionary)(?: .{0,60})?", re.IGNORECASE
)
_DEFINED = re.compile(r"(?:an?|the|any|one|when|where)\s+\w", re.IGNORECASE)
_TERM_ITEM = re.compile(r"(?:\*\*|__)?([^\n.:*_]{2,60}?)(?:\*\*|__)?(?::(?:\*\*|__)?|\s[–—-])\s+(?=\S)")
_POINTS = re.compile(
    r"(?:the )?(?:(?:key|main) (?:takeaways?|points|facts|insights|findings|messages)|takeaways"
    r"|(?:in )?(?:summary|brief)|tl;?dr|at a glance"
    r"|the bottom line|(?:important )?points to remember|(?:what|things) (?:you (?:need to|should|must) )?(?:to )?know"
    r"|(?P<tips>(?:(?:pro|quick|top|key|useful|helpful|expert|safety) )?tips))"
    r"(?: (?P<joint>about|on|for|of|from) (?P<of>.{2,80}))?[:.]?",
    re.IGNORECASE,
)
_FEWEST_WORDS = 3  # of a point; what has fewer is a list of names or links
_SHORT_NAME = 5  # words that can stand after "about"


def find_definitions(outline: Outline) -> Iterator[Passage]:
    """A first sentence that says what the thing named by its heading, or by the page's title, is; glossary entries."""
    for section in outline.sections:
        glossary = bool(
            _GLOSSARY.fullmatch(section.title) or (section.above and _GLOSSARY.fullmatch(section.above[-1]))
        )
        first = section.blocks[0] if section.blocks else None
        if first and first.kind == "paragraph" and "?" not in section.title:
            yield from _defined(outline, section, first)
        for block in section.blocks:
            if block.kind == "entry":
                yield from _entry(outline, block, glossary)
            elif glossary and block.kind == "bullets":
                yield from _terms(outline, section, block)


def _defined(outline: Outline, section: Section, first: Block) -> Iterator[Passage]:
    found = _DEFINES.match(plain(first.text).replace("\n", " "))
    named = re.sub(r"^(?:an?|the)\s+|\s*\([^()]*\)$|^\d{1,2}[.)]\s+", "", section.title.strip(), flags=re.IGNORECASE)
    if not found or not named or not _same(found["term"], named):
        return
    verb, rest = found["verb"].lower(), found["rest"]
    if (verb == "is" and not _KIND.match(rest)) or (verb == "are" and _OTHER.match(rest)):
        return
    subject = find_subject(outline.title, section.above, outline.document.text)
    article = (found["article"] or "").lower()
    head, _, more = found["term"].partition(" ")
    term = found["term"] if article else f"{subject.small(head)} {more}".strip()
    question = f"What {verb} {article}{term}?" if verb in ("is", "are") else f"What does {article}{term} mean?"
    fault = None
    if not content(term) or not (subject.writes_small(term) or set(content(term)) & set(content(subject.name))):
        question, fault = subject.lead(question)
    yield _passage(outline, question, "definition", section.heading, first.start, first.end, fault)


def _same(said: str, named: str) -> bool:
    def words(text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())

    one, other = words(said), words(named)
    return one == other or [w.rstrip("s") for w in one] == [w.rstrip("s") for w in other]


def _entry(outline: Outline, block: Block, glossary: bool) -> Iterator[Passage]:
    term, _, definition = block.text.partition("\n")
    if term.rstrip().endswith("?") or "\n" in definition:
        return
    start = block.start + len(term) + 3
    yield from _term(outline, term, block.start, start, block.end, glossary)


def _terms(outline: Outline, section: Section, block: Block) -> Iterator[Passage]:
    end = block.start
    for item in block.items:
        line, _, more = item.partition("\n")
        place = outline.document.text.index(line, end, block.end)
        end = place + len(line)
        found = None if more else _TERM_ITEM.match(line)  # what follows may be a list of its own
        if found:
            yield from _term(outline, found[1], place, place + found.end(), end, True)


def _term(outline: Outline, term: str, at: int, start: int, end: int, glossary: bool) -> Iterator[Passage]:
    text = outline.document.text
    said, term = plain(text[start:end]), plain(term).strip()
    defined = _DEFINED.match(said)
    if not (defined or glossary) or len(said.split()) < 6 or not content(term) or len(term.split()) > 6:
        return
    if _DEFINES.match(said) and _same(_DEFINES.match(said)["term"], term):
        defined = re.match(r"(an?)\s", said, re.IGNORECASE)
    subject = find_subject(outline.title, (), text)
    name, opening = subject.small(term), said.split()[0].lower()
    if opening in ("a", "an") and not name.endswith("s"):
        name = f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
    verb = "are" if name.endswith("s") and not name.endswith("ss") and opening not in ("a", "an") else "is"
    yield Passage(f"What {verb} {name}?", "definition", outline.document, start, end, said, ((at, start),))


def find_insights(outline: Outline) -> Iterator[Passage]:
    """The bullets below a heading that promises the key points."""
    for section in outline.sections:
        named = _POINTS.fullmatch(section.title.strip())
        lists = [n for n, block in enumerate(section.blocks) if block.kind in ("bullets", "steps")]
        if section.heading is None or not named or len(lists) != 1:
            continue
        (n,) = lists
        items = section.blocks[n].items
        if len(items) < 2 or not all(len(item.split()) >= _FEWEST_WORDS for item in items):
            continue
        block = section.blocks[n]
        before = section.blocks[n - 1] if n else None
        first = before if before and before.kind == "paragraph" and before.text.endswith(":") else block
        above = section.above
        subject = find_subject(outline.title, above, outline.document.text)
        asked = "What are useful tips" if named["tips"] else "What are the key points"
        if named["of"]:
            question, fault = subject.put(f"{asked} {named['joint'].lower()} {subject.small(named['of'])}?")
        elif (
            subject.name
            and len(subject.name.split()) <= _SHORT_NAME
            and not re.match(r"(?:how|why|when|what|where|who)\b", subject.name, re.IGNORECASE)
        ):
            question, fault = f"{asked} about {subject.small(subject.name)}?", None
        else:
            question, fault = subject.lead(f"{asked}?")
        yield _passage(outline, question, "insight", section.heading, first.start, block.end, fault)


def _passage(
    outline: Outline,
    question: str,
    kind: str,
    heading: Block | None,
    start: int,
    end: int,
    fault: Fault | None,
) -> Passage:
    document = outline.document
    rests_on = ((heading.start, heading.end),) if heading else ()
    return Passage(question, kind, document, start, end, plain(document.text[start:end]), rests_on, fault=fault)
