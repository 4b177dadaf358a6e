"""What a night of 1,000 new documents costs as the corpus behind it grows: seconds and peak memory.

    python benchmarks/nightly_growth.py [QA.jsonl] [--documents N]

One model collects question-answer rows from a folder that gets one file a night. A first night brings a tenth of
`--documents` (100,000), three nights of 1,000 are measured, a large night brings the rest, and three more are
measured. Rows are made from the sentences of QA.jsonl (by default ../shared/data/health_qa.jsonl, else of bundled
text), shuffled by seed, so that hardly any are alike. Each night runs all stages of a build in a process of its own,
with what they import already loaded. There is no peer but the smaller corpus: `value` is the median night at the
full corpus over the one at a tenth. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

SHARED = Path(__file__).resolve().parents[2] / "shared/data/health_qa.jsonl"
NIGHT = 1_000
REPEATS = 3
MODEL = """
model: growth
description: A corpus that grows
sources:
  - name: answers
    kind: dataset
    path: "%s"
    max_rows: 1000000
    max_alike: 1000000
    licence: owner
    consent: own-content
domain: {keywords: [health, disease, patient, symptom, treatment, body, people, time, house]}
curation: {min_relevance: 0}
dataset: {validation: {max_rejected_share: 1, max_drift: 1000}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, default=SHARED, help="JSON lines with question and answer")
    parser.add_argument("--documents", type=int, default=100_000, help="documents of the full corpus")
    parser.add_argument("--night", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.night:
        print(json.dumps(run_night(options.night)))
        return
    with tempfile.TemporaryDirectory(prefix="sovereign-bench-", ignore_cleanup_errors=True) as folder:
        print(json.dumps(measure(Path(folder), sentences(options.corpus), options.documents)))


def measure(folder: Path, pool: list[str], documents: int) -> dict[str, Any]:
    """Let the corpus grow, and print what each night took."""
    for name in ("config", "rows", "state"):
        (folder / name).mkdir()
    (folder / "config" / "growth.yaml").write_text(MODEL % (folder / "rows"))
    rng, made, nights = random.Random(42), 0, []  # noqa: S311 - the same on every machine
    print("night  documents before   seconds   peak MB   by stage")
    for size in (
        documents // 10,
        *[NIGHT] * REPEATS,
        documents - documents // 10 - REPEATS * NIGHT,
        *[NIGHT] * REPEATS,
    ):
        write_rows(folder / "rows" / f"{len(nights):03}.jsonl", pool, rng, size // 2)  # a question and an answer each
        night = run(folder, f"night-{len(nights)}") | {"before": made, "documents": size}
        stages = " ".join(f"{stage.partition(':')[0]} {seconds:.1f}" for stage, seconds in night["stages"].items())
        print(f"{len(nights):5} {made:18,} {night['seconds']:9.1f} {night['megabytes']:9.0f}   {stages}", flush=True)
        nights.append(night)
        made += size
    small, large = nights[1 : 1 + REPEATS], nights[-REPEATS:]
    cost = {name: [median(n[name] for n in of) for of in (small, large)] for name in ("seconds", "megabytes")}
    return {
        "claim": "a night costs what is new, not what there is",
        "value": round(cost["seconds"][1] / cost["seconds"][0], 3),
        "unit": "times the seconds at a tenth of the corpus",
        "seconds": cost["seconds"],
        "peak_megabytes": cost["megabytes"],
        "peak_memory_ratio": round(cost["megabytes"][1] / cost["megabytes"][0], 3),
        "documents_before": [small[0]["before"], large[0]["before"]],
        "documents_a_night": NIGHT,
        "first_night": {"documents": nights[0]["documents"], "seconds": nights[0]["seconds"]},
    }


def sentences(corpus: Path) -> list[str]:
    """Sentences of the corpus's answers, or of general text."""
    if corpus.exists():
        texts = [json.loads(line)["answer"] for line in corpus.read_text("utf-8").splitlines()]
    else:
        from sovereign_tasks.general import general_text

        texts = list(general_text(1, 1_000_000))
    found = {part.strip() for text in texts for part in re.split(r"(?<=[.!?])\s+", text)}
    return sorted(part for part in found if 20 <= len(part) <= 300)


def write_rows(path: Path, pool: list[str], rng: random.Random, count: int) -> None:
    """Rows whose answers are six sentences each, and whose questions name what two of them are about."""
    with path.open("w", encoding="utf-8") as file:
        for n in range(count):
            said = rng.sample(pool, 6)
            about = " and ".join(" ".join(one.split()[:6]).rstrip(".,;:") for one in said[:2])
            row = {"id": f"{path.stem}-{n}", "question": f"What is known about {about}?", "answer": " ".join(said)}
            file.write(json.dumps(row) + "\n")


def run(folder: Path, night: str) -> dict[str, Any]:
    """One night in a process of its own."""
    environment = os.environ | {
        "SOVEREIGN_STATE": str(folder / "state"),
        "SOVEREIGN_CONFIG": str(folder / "config"),
        "SOVEREIGN_KEY": "ab" * 32,
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, __file__, "--night", night], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def run_night(run_id: str) -> dict[str, Any]:
    """Run a build's stages one after another; seconds in all and by stage, and the most memory that they held."""
    import great_expectations  # noqa: F401 - loaded before the clock starts, as all that the stages import

    from sovereign_tasks.curate import dedup, workers  # noqa: F401
    from sovereign_tasks.ledger import open_ledger
    from sovereign_tasks.stages import assemble, curation, due, gather, publish, select, validate
    from sovereign_tasks.store import state_folder

    began = time.perf_counter()
    jobs = [curation.curate(gather.collect(job)) for job in gather.begin("growth", run_id)]
    night = publish.publish(validate.validate(assemble.derive(select.deduplicate(jobs))))
    due.check_due(night)
    seconds = time.perf_counter() - began
    reports = open_ledger(state_folder()).reports("growth", night["build_id"])
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "seconds": round(seconds, 2),
        "megabytes": peak / 1024,
        "stages": {report.stage: report.seconds for report in reports},
    }


if __name__ == "__main__":
    main()
