"""The second look: what a scrubber that failed would let by is found, and nothing that it has cleaned."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from sovereign_tasks.curate import recheck as module
from sovereign_tasks.curate.pii import scrub
from sovereign_tasks.curate.recheck import recheck
from sovereign_tasks.demo import __file__ as demo

from .test_pii import HITS, SAFE

ANSWERS = Path(__file__).resolve().parents[4] / "shared/data/health_qa.jsonl"
LEAKS = [
    ("EMAIL", "Write to zebulon.quagga+roof@mail.example.co.uk for it"),
    ("PHONE", "Ask at (555) 123-4567 or"),
    ("PHONE", "Ring 312-555-0199 first"),
    ("PHONE", "from +49 30 901820 today"),
    ("PHONE", "my cell is 4155550198"),
    ("CARD", "paid by 4111 1111 1111 1111"),
    ("CARD", "paid by 4111111111111111, and"),
    ("CARD", "amex 378282246310005"),
    ("IBAN", "pay GB82 WEST 1234 5698 7654 32 TODAY"),
    ("IBAN", "to DE89370400440532013000."),
    ("SSN", "it is 078-05-1120."),
    ("SSN", "SSN: 078051120"),
    ("IP", "came from 203.0.113.9:22"),
    ("IP", "at 2001:db8:85a3::8a2e:370:7334"),
    ("MAC", "00:1B:44:11:3A:B7"),
    ("ADDRESS", "sent to 905 Sycamore Bend, Weaverville, NC 28787."),
    ("URL", "ftp://bob:pw1@host.example/x"),
    ("USER", "thanks u/roofguy_88"),
    ("BIRTHDATE", "born on 3 May 1980"),
    ("BIRTHDATE", "DOB: 05/03/1980"),
    ("ID", "passport number X1234567"),
    ("SECRET", "password: hunter2!"),
    ("SECRET", "AKIAIOSFODNN7EXAMPLE"),
    ("SECRET", "-----BEGIN RSA PRIVATE KEY-----"),
    ("SECRET", "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
    ("SECRET", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"),
]
UNNAMED = (
    "use vQ8xT2bL9rWk4NzH7cYp1MfJ6sGd3AeU as it is"  # a key by its looks alone: the scrubber needs a form or a cue
)
LOOK_ALIKES = [
    *SAFE,
    "Commit 9fceb02d0ae598e95dc970b74767f19372d61af8, sha256 "
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.",
    "See https://example.com/docs/aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY, AbstractSingletonProxyFactoryBean2Implementation",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4",
    "5.2.8.1 Valleys. Netmask 255.255.255.0, loopback 127.0.0.1, firmware 110.2.3.4, from 2024-11-26 to 26.11.2024",
    "Call [PHONE_1], [PHONE_k3v9qa27] or write to [EMAIL_2], SSN [SSN_1], password: [SECRET_1].",
    "It was born of need in 1980. Birth weight 3.5 kg. The account of 2024 shows 48,219 entries.",
    "A 4x8 sheet costs $38.50-41.25; 12-15% waste; 1,200-1,500 sq ft; ratio 3:12 - 12:12; 100 000 000 cells per 10 ml.",
]


@pytest.mark.parametrize(("kind", "text"), [*LEAKS, ("SECRET", UNNAMED)])
def test_a_leaked_value_is_caught(kind: str, text: str) -> None:
    assert kind in recheck(text)


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_look_alikes_stay(text: str) -> None:
    assert recheck(text) == []


@pytest.mark.parametrize("text", [text for text, *_ in HITS] + [text for _, text in LEAKS])
def test_what_the_scrubber_cleaned_passes(text: str) -> None:
    assert recheck(scrub(text).text) == []


def test_the_region_decides_national_numbers() -> None:
    assert not recheck("Büro 089 63648018 oder")
    assert recheck("Büro 089 63648018 oder", region="DE") == ["PHONE"]


@pytest.mark.parametrize("path", sorted(Path(demo).parent.glob("content/**/*.*")), ids=lambda p: p.name)
def test_the_bundled_domain_passes_once_it_is_scrubbed(path: Path) -> None:
    assert recheck(scrub(path.read_text("utf-8")).text) == []


def test_it_shares_no_rule_with_the_scrubber() -> None:
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    imported = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    imported += [alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names]
    assert not [name for name in imported if name.startswith("sovereign_tasks")]


@pytest.mark.parametrize(
    "unit",
    ["1 ", "1-", "(1) ", "a.b@", "a@b.", "12 Oak ", "GB82 WEST ", "aA1", "a:", "born on ", "password: ", "x" * 40],
)
def test_it_ends_on_its_worst_text(unit: str) -> None:
    assert recheck(f"1 @ {unit * (60_000 // len(unit))}") is not None


@pytest.mark.skipif(not ANSWERS.exists(), reason="the shared answers are not here")
def test_hardly_a_scrubbed_answer_is_flagged() -> None:
    answers = [json.loads(line)["answer"] for line in ANSWERS.read_text("utf-8").splitlines()]
    suspects = [a for a in answers if recheck(a)]  # scrubbing only takes away
    flagged = [a for a in suspects if recheck(scrub(a).text)]
    assert len(flagged) <= len(answers) / 1000
