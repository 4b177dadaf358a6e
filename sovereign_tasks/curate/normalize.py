"""Clean text: one Unicode form, plain spaces, no invisible characters, paragraphs kept; then the domain's rewrites."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from sovereign_tasks.config import RewriteRule

_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\uffff\U000e0000-\U000e007f\ud800-\udfff]"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE_ENDS = re.compile(r"\r\n?|[\u0085\u2028\u2029]")
_SPACES = re.compile(r"[^\S\n]")  # no-break, thin, ideographic ...: one plain space each
_FENCE = re.compile(r"(^```.*?(?:^```[^\n]*$|\Z))", re.DOTALL | re.MULTILINE)
_PLAIN = str.maketrans({"‘": "'", "’": "'", "‚": "'", "‛": "'", "“": '"', "”": '"', "„": '"', "‟": '"',
                        "‐": "-", "‑": "-", "‒": "-", "―": "—", "−": "-", "…": "..."})  # fmt: skip


def normalize(text: str) -> str:
    """Bring text to NFC with straight quotes, plain hyphens and single spaces; blank lines part paragraphs.

    En and em dashes stay (they carry ranges and breaks), as do line breaks, a line's indentation (nested lists)
    and everything but invisible characters in fenced code. Idempotent. The zero-width joiners stay: emoji and
    several scripts need them.
    """
    if text.isascii():  # the same, by what can occur in it
        text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    else:
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", _LINE_ENDS.sub("\n", text)))
    parts = _FENCE.split(text) if "```" in text else [text]
    parts[::2] = [_tidy(part) for part in parts[::2]]
    text = "".join(parts)
    if " \n" in text or "\t\n" in text:
        text = re.sub(r"(?<![ \t])[ \t]+$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def rewrite(text: str, rules: Sequence[RewriteRule]) -> str:
    """Apply the domain's rules in their order."""
    for rule in rules:
        text = re.sub(rule.pattern, rule.replace, text, flags=re.IGNORECASE)
    return text


def _tidy(text: str) -> str:
    text = text.replace("\t", " ") if text.isascii() else _SPACES.sub(" ", text.translate(_PLAIN))
    return re.sub(r"(?<=\S) {2,}", " ", text) if "  " in text else text
