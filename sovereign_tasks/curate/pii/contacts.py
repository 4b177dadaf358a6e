"""Detectors of how people are reached and known online: mail addresses, profiles, handles, addresses with a login."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sovereign_tasks.curate.pii.forms import Hit, Text, spans

_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w.+%'-]{1,64}@(?:[^\W_](?:[\w-]{0,62})\.){1,8}[^\W\d_]{2,24}(?![^\W\d_]|-\w)", re.IGNORECASE
)
_EMAIL_SPELLED = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}\s?[\[({]\s?(?:at|@)\s?[\])}]\s?[\w-]{1,63}"
    r"(?:\s?[\[({]\s?(?:dot|\.)\s?[\])}]\s?[\w-]{2,63}|\.[a-z]{2,24})+"
    r"|(?<![\w.+-])[\w.+-]{2,64} at [\w-]{2,63}(?: dot [\w-]{2,63}){0,2} dot (?:com|org|net|edu|gov|io|co|[a-z]{2})\b",
    re.IGNORECASE,
)
_SPELLED = re.compile(r"[\[({]\s?(?:at|@)\s?[\])}]| dot ", re.IGNORECASE)
_LOCAL = 66  # characters before @ that may matter
_FILE_NAME = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|css|js|html?)$", re.IGNORECASE)
_LOGIN_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://[^\s/@:]{0,64}:[^\s/@]{1,128}@[^\s)\]>\"']+", re.IGNORECASE)
_PROFILE_URL = re.compile(
    r"\b(?:https?://)?(?:www\.|old\.|m\.|[a-z]{2}\.)?(?:(?:facebook|instagram|tiktok|twitter|x|vk|pinterest)\.com/@?"
    r"(?!share|intent|groups|watch|search|hashtag|p/)|linkedin\.com/in/|reddit\.com/u(?:ser)?/|github\.com/|"
    r"gitlab\.com/|t\.me/|wa\.me/|youtube\.com/@|medium\.com/@|threads\.net/@|snapchat\.com/add/|bsky\.app/profile/|"
    r"keybase\.io/)[\w.-]{2,}",
    re.IGNORECASE,
)
_NO_HANDLE = (  # of style sheets and code; where something is fastened, found or charged
    r"(?:media|import|param|return|property|edges?|eaves?|ridges?|rakes?|valleys?|hips?|gables?|perimeter|field|seams?|"
    r"laps?|overlaps?|joints?|corners?|center|middle|top|bottom|ends?|start|each|every|all|the|least|most|about|around|"
    r"roof|walls?|chimney|deck|vents?|penetrations?|rafters?|trusses|studs?|night|home|work|site)\b"
)
_HANDLE = re.compile(rf"(?<![\w/@.`])@(?!{_NO_HANDLE})[a-z]\w{{2,29}}(?![\w@/]|\.\w)", re.IGNORECASE)
_USER = re.compile(r"(?<![\w/@.`])/?u/[\w-]{3,20}(?![\w@/]|\.\w)", re.IGNORECASE)


def find_contacts(text: Text) -> Iterator[Hit]:
    """Addresses with a login, profiles, mail addresses and handles."""
    if "://" in text.plain and "@" in text.plain:
        yield from spans("URL", _LOGIN_URL, text.plain)
    if text.holds(".com/", "t.me/", "wa.me/", ".net/@", ".app/profile/", "keybase.io/"):
        yield from spans("URL", _PROFILE_URL, text.plain)
    if "@" in text.plain:
        yield from (("EMAIL", *m.span()) for m in _around_at(text.plain) if not _FILE_NAME.search(m[0]))
    if _SPELLED.search(text.plain):
        yield from spans("EMAIL", _EMAIL_SPELLED, text.plain)
    if "@" in text.plain:
        yield from spans("USER", _HANDLE, text.plain)
    if "u/" in text.low:
        yield from spans("USER", _USER, text.plain)


def _around_at(text: str) -> Iterator[re.Match[str]]:
    """Mail addresses, looked for only near an @, since a long text has few."""
    end, at = 0, text.find("@")
    while at >= 0:
        if found := _EMAIL.search(text, max(end, at - _LOCAL), at + 600):
            yield found
            end = found.end()
        at = text.find("@", max(end, at + 1))
