"""Detectors of secrets: keys and tokens by the form their makers gave them, passwords by what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sovereign_tasks.curate.pii.forms import Hit, Text, spans

_PEM = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)", re.DOTALL
)
# What its pattern needs to hold at all (in small letters), and the pattern.
_TOKENS = [
    (words, re.compile(pattern))
    for words, pattern in (
        (("akia", "asia"), r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        (("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), r"\b(?:gh[pousr]_\w{30,}|github_pat_\w{30,})"),
        (("glpat-",), r"\bglpat-[\w-]{20,}"),
        (("sk", "pk", "rk"), r"\b(?:sk|pk|rk)[-_](?=[\w-]{0,60}\d)(?:live|test|proj|ant|or)?[-_]?[A-Za-z0-9_-]{20,}"),
        (("xox",), r"\bxox[abeprs]-[\w-]{10,}"),
        (("hooks.slack.com",), r"https://hooks\.slack\.com/(?:services|workflows)/[\w/-]{20,}"),
        (("/api/webhooks/",), r"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/\d+/[\w-]{20,}"),
        (("aiza", "ya29.", "gocspx-"), r"\b(?:AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,})"),
        (("hf_", "npm_"), r"\b(?:hf|npm)_[A-Za-z0-9]{30,}"),
        (("pypi-",), r"\bpypi-[\w-]{40,}"),
        (("sg.",), r"\bSG\.[\w-]{16,32}\.[\w-]{30,64}"),
        (("dop_v1_", "shp", "dp.pt."), r"\b(?:dop_v1_[0-9a-f]{64}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|dp\.pt\.\w{40,})"),
        ((":aa",), r"\b\d{8,10}:AA[\w-]{33}\b"),
        (("eyj",), r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
        (
            ("accountkey=", "sharedaccesskey=", "sig="),
            r"\b(?:AccountKey|SharedAccessKey|sig)=(?P<value>[\w+/%-]{30,}=*)",
        ),
        (("bearer ", "basic "), r"\b[Aa]uthorization[\"']?: ?[\"']?(?:Bearer|Basic) (?P<value>[\w.~+/-]{12,}=*)"),
    )
]
_CALLED = (
    r"(?:pass(?:word|wd|code|phrase)|pwd|passwort|kennwort|contraseña|mot de passe|wachtwoord|senha|"
    r"api[_ -]?key|(?:client[_ -]?)?secret(?:[_ -]?(?:access[_ -]?)?key)?|private[_ -]?key|access[_ -]?key|"
    r"(?:access|auth|api|bot|refresh)[_ -]?token)"
)
_PASSWORD = re.compile(
    rf"(?<![^\W_]){_CALLED}[\"']?\s{{0,20}}(?:[:=]|\b(?:is|ist|es|est)\b:?)\s{{0,20}}(?:"
    r"[\"']?(?P<value>(?=[^\s\"',;]{0,256}[\d!@#$%^&*_+=?-])[^\s\"',;]{4,})|"
    r"(?<=[\"'])(?P<quoted>[^\s\"',;]{4,})(?=[\"']))",
    re.IGNORECASE,
)
_PASSWORD_WORDS = ("passw", "passc", "passp", "pwd", "kennwort", "contraseña", "de passe", "wachtwoord", "senha",
                   "api key", "api_key", "api-key", "apikey", "secret", "private", "access", "_token", " token",
                   "-token")  # fmt: skip
_PIN = re.compile(
    r"\bpin(?: code| number)?[\"']?\s{0,20}(?:[:=#]|\bis\b:?)\s{0,20}[\"']?(?P<value>\d{4,12})(?![\w/°%]|[.,-]\d)"
    r"|\b(?:otp|one[- ]time (?:code|password)|verification code|cvv2?|cvc2?|security code)"
    r"[\"']?\s{0,20}(?:[:=#]|\bis\b:?)?\s{0,20}[\"']?(?P<code>\d{3,8})(?![\w/°%]|[.,-]\d)",
    re.IGNORECASE,
)
_PIN_WORDS = (
    "pin ",
    "pin:",
    "pin=",
    'pin"',
    "pin#",
    "otp",
    "one-time",
    "one time",
    "verification code",
    "cvv",
    "cvc",
    "security code",
)


def find_secrets(text: Text) -> Iterator[Hit]:
    """Private keys, tokens, passwords and codes."""
    if "private key" in text.low:
        yield from spans("SECRET", _PEM, text.plain)
    for words, pattern in _TOKENS:
        if text.holds(*words):
            yield from spans("SECRET", pattern, text.plain)
    for words, pattern in ((_PASSWORD_WORDS, _PASSWORD), (_PIN_WORDS, _PIN)):
        if text.holds(*words):
            # where both groups of a pattern could be, one is
            yield from (("SECRET", *m.span(m.lastgroup or 0)) for m in pattern.finditer(text.plain))
