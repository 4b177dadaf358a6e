"""Robots verdicts against the standard library's: how many cases `collect.robots` and urllib.robotparser get right.

    python benchmarks/robots.py [CASES.json]

CASES.json is a list of {"robots", "ua", "url", "allowed"}; by default ../shared/data/robots_cases.json, the cases of
Google's own parser, which counts also where it goes beyond RFC 9309. The last line is one JSON object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.robotparser import RobotFileParser

from sovereign_tasks.collect.fetch.robots import answered

SHARED = Path(__file__).resolve().parents[2] / "shared/data/robots_cases.json"


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    if not path.is_file():
        print(f"Nothing was measured: {path} isn't here; name a file of cases, as in benchmarks/robots.py CASES.json")
        print(json.dumps({"benchmark": "robots", "cases": 0, "missing": str(path)}))
        raise SystemExit(len(sys.argv) > 1)
    cases = json.loads(path.read_text("utf-8"))
    wrong = [case for case in cases if ours(case) != case["allowed"]]
    peer = sum(stdlib(case) == case["allowed"] for case in cases)
    right = len(cases) - len(wrong)
    for case in wrong:
        print(f"differs: {case.get('test', '')} {case['ua']!r} {case['url'][:60]!r}, expected {case['allowed']}")
    print(f"{len(cases)} cases   collect.robots {right} right   urllib.robotparser {peer} right")
    print(
        json.dumps(
            {
                "benchmark": "robots",
                "claim": "robots.txt is read as Google's parser reads it",
                "right": right,
                "cases": len(cases),
                "value": round(right / max(1, peer), 4),
                "unit": "ratio of right verdicts",
                "peer": "urllib.robotparser",
                "peer_right": peer,
                "material": str(path),
            }
        )
    )


def ours(case: dict) -> bool:
    return answered(200, case["robots"].encode(), case["ua"]).allowed(case["url"])


def stdlib(case: dict) -> bool:
    parser = RobotFileParser()
    parser.parse(case["robots"].splitlines())
    return parser.can_fetch(case["ua"], case["url"])


if __name__ == "__main__":
    main()
