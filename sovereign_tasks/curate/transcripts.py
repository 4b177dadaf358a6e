"""Text of subtitles and transcripts (SRT, WebVTT): cues without times and marks, joined to paragraphs.

One lenient scan reads both formats, since real files have neither clean numbering nor clean blank lines. Who speaks
is personal data and answers no question: the name goes, a new speaker begins a new paragraph.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from sovereign_tasks.curate.unreadable import Unreadable

_PAUSE = 2.0  # seconds of silence after which a new paragraph begins
_SENTENCES = 5  # at most in a paragraph
_WORDS = 120  # in a paragraph without a full stop, as recognisers write them
_ROLLED = 8  # lines that a cue may repeat
_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}")
_VOICE = re.compile(r"<v[.\s][^<>]*>")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<[\d:.]*>|\{\\[^{}]*\}")
_SOUND = re.compile(r"\[[^\[\]]{1,40}\]|[♪♫]+")
_SPEAKER = re.compile(r"^\s*(?:>>+\s*(?:[A-Z][\w .'’-]{0,30}:)?|[-–]\s(?=\S))\s*")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)]*$")
_CALLED = r"[^\W\d_a-z][\w.'’-]{0,30}(?: [^\W\d_a-z][\w.'’-]{0,30}){0,2}"
_LABEL = re.compile(rf"\s*(?:<[^<>]{{1,60}}>\s*)?(?:>>+\s*|[-–]\s)?({_CALLED})\s?:(?=\s|$)")
_NO_SPEAKER = frozenset(
    "answer attention caution example important note notes question remember step tip tips warning "
    "achtung antwort beispiel frage hinweis tipp wichtig".split()
)
_TURN = "\x1e"  # stands where another one begins to speak


@dataclass(slots=True)
class _Cue:
    start: float
    end: float
    lines: list[str]


def read_transcript(text: str) -> str:
    """Paragraphs of an SRT or WebVTT text, which has no title.

    Raises `Unreadable`: unreadable where no line gives times, no_text where cues are empty.
    """
    cues = list(_cues(text))
    if not cues:
        raise Unreadable("unreadable", "no cue with times")
    _mark_voices(cues)
    paragraphs = list(_paragraphs(cues))
    if not paragraphs:
        raise Unreadable("no_text", f"{len(cues)} cues without words")
    return "\n\n".join(paragraphs)


def _cues(text: str) -> Iterator[_Cue]:
    """Cues in the order of the file; blocks without times (NOTE, STYLE, REGION, the header) hold none."""
    cue: _Cue | None = None
    outside = False  # after a blank line: what comes is a number, a name, a note, or a cue's own second part
    webvtt = text.lstrip("\ufeff \t\r\n").startswith("WEBVTT")
    lines = re.split(r"\r\n?|\n", text)
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if timing := _TIMING.match(line):
            if cue:
                yield cue
            cue, outside = _Cue(_seconds(timing.groups()[:4]), _seconds(timing.groups()[4:]), []), False
        elif not line.strip():
            outside = True
        elif cue and not (webvtt and outside):
            names_next = _TIMING.match(following) and (outside or line.strip().isdigit())
            cue.lines += [] if names_next else [line]
    if cue:
        yield cue


def _mark_voices(cues: list[_Cue]) -> None:
    """Write a speaker's "Name:" before a line as WebVTT would, so that both are dealt with alike.

    A speaker is who stands before two different lines, or a name of several words in capitals.
    """
    said: defaultdict[str, set[str]] = defaultdict(set)
    for line in (line for cue in cues for line in cue.lines):
        if label := _LABEL.match(line):
            said[label[1]].add(line[label.end() :])
    speakers = {
        name
        for name, lines in said.items()
        if (len(lines) > 1 or (" " in name and name.isupper())) and not _NO_SPEAKER & set(name.casefold().split())
    }
    voice = ""  # a name may have a line to itself
    for cue in cues:
        for at, line in enumerate(cue.lines):
            if (label := _LABEL.match(line)) and label[1] in speakers:
                voice, line = f"<v {label[1]}>", line[label.end() :]
            cue.lines[at] = voice + line if line.strip() else ""
            voice = "" if line.strip() else voice


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + float(f"0.{fraction}")


def _paragraphs(cues: list[_Cue]) -> Iterator[str]:
    words: list[str] = []
    sentences, voice, before = 0, "", _Cue(0.0, 0.0, [])
    for cue in cues:
        lines = [line for raw in cue.lines if (line := _clean(raw)).strip(_TURN + " ")]
        named = [found[0] for raw in cue.lines for found in _VOICE.finditer(raw)]
        if named:  # the turn is marked at each name; the speaker of before goes on without one
            if named[0] == voice and lines:
                lines[0] = lines[0].removeprefix(_TURN)
            voice = named[-1]
        new = _rolled(before.lines, lines)
        if words and (cue.start - before.end > _PAUSE or (before.lines and cue.start < before.start - _PAUSE)):
            yield " ".join(words)
            words, sentences = [], 0
        for turn, part in enumerate(" ".join(new).split(_TURN)):
            full = sentences >= _SENTENCES or (not sentences and len(words) >= _WORDS)
            if words and (turn or full):
                yield " ".join(words)
                words, sentences = [], 0
            for word in part.split():
                words.append(word)
                sentences += bool(_SENTENCE_END.search(word))
        if lines:
            before = _Cue(cue.start, cue.end, lines)
    if words:
        yield " ".join(words)


def _clean(line: str) -> str:
    line = _SPEAKER.sub(_TURN, _TAG.sub("", _VOICE.sub(_TURN, line)))
    return " ".join(html.unescape(_SOUND.sub("", line)).split(" ")).strip(" ")


def _rolled(before: list[str], lines: list[str]) -> list[str]:
    """Lines without those that the cue before showed already, as live captions roll up."""
    for overlap in range(min(len(before), len(lines), _ROLLED), 0, -1):
        if before[-overlap:] == lines[:overlap]:
            return lines[overlap:]
    return lines
