"""How often the gate promotes what is no better, and what is: simulations from real scores of single rows.

    python benchmarks/gate.py [QA.jsonl] [--simulations N] [--run MODEL/RUN]

A base is made of the answers' words and tuned twice, by two seeds of one recipe: champion and candidate. Both and the
base are scored on 400 rows that none has seen. A simulation draws rows of those, each a group of its own, and swaps
the labels of candidate and champion by the toss of a coin, so that neither is better; then the candidate's scores are
shifted by d standard deviations of the paired differences. What is counted is how often the paired bootstrap over
groups, as the gates use it, calls the candidate better at a nominal 2.5%; beside it on the same draws "its mean is
higher", and Welch's unpaired test. The whole gate (the default gates of a model file, against the base and the
champion) is simulated with the same shift, a tenth as often. With --run the scores are those of a retraining that met a
champion, a run's folder below state/models/MODEL/runs, and the gates are those of its model's file. `value` is the rate
of false promotions. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from training import SHARED, examples_of, make

HELD, TRAINED = 400, 1200
METRIC = "nll"
CASES = [(0.0, 250), (0.0, 100), (-0.2, 250), (0.2, 100), (0.2, 200), (0.2, 250)]
"""The shift in standard deviations of the paired differences, and the groups."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, default=SHARED, help="JSON lines with question and answer")
    parser.add_argument("--simulations", type=int, default=10_000, help="of each case")
    parser.add_argument("--run", metavar="MODEL/RUN", help="a retraining whose scores are drawn from instead")
    options = parser.parse_args()
    if options.run:
        reports, gates = read(*options.run.split("/", 1))
    else:
        with tempfile.TemporaryDirectory(prefix="sovereign-bench-", ignore_cleanup_errors=True) as folder:
            reports, gates = measure(Path(folder), options.corpus)
    tell = {f"d {d:+g}, {n} groups": simulate(reports, gates, d, n, options.simulations) for d, n in CASES}
    print(json.dumps({
        "claim": "false promotions where neither model is better, at a nominal 2.5%",
        "value": tell["d +0, 250 groups"]["paired"],
        "unit": "share of simulations",
        "peer": "its mean is higher",
        "ratio_to_peer": round(tell["d +0, 250 groups"]["paired"] / tell["d +0, 250 groups"]["mean is higher"], 4),
        "cases": tell,
    }))  # fmt: skip


def read(model: str, run: str) -> tuple[dict[str, Any], list[Any]]:
    """A retraining's reports, by subject and dataset, and its model's gates."""
    from sovereign_tasks.stages.context import open_context
    from sovereign_tasks.stages.scores import read_reports

    context = open_context(model, run)
    reports = read_reports(context)
    if "champion" not in reports:
        sys.exit(f"run {run} of {model} met no champion; name a later one")
    return reports, context.config.gates


def measure(folder: Path, corpus: Path) -> tuple[dict[str, Any], list[Any]]:
    """Reports of base, champion and candidate on the same rows, by subject and dataset, and the default gates."""
    from sovereign_tasks.causal_lm import load_base, load_with_adapter
    from sovereign_tasks.evaluate.score import score, score_general
    from sovereign_tasks.gates_config import DEFAULT_GATES
    from sovereign_tasks.train.qlora import train
    from sovereign_tasks.training_config import TrainingConfig

    base = folder / "base"
    make(base, corpus)
    rows = examples_of(corpus, TRAINED + HELD)[0]
    taught, held = rows[:TRAINED], rows[TRAINED:]
    reports = {}
    for seed, subject in enumerate(("base", "champion", "candidate")):
        print(f"{subject} on {len(held)} rows", file=sys.stderr, flush=True)
        if subject == "base":
            model, tokenizer = load_base(base)
        else:
            config = TrainingConfig(max_length=512, accumulation=1, epochs=3, learning_rate=4e-3, seed=seed)
            model, tokenizer = load_with_adapter(base, Path(train(taught, config, base, folder / subject).adapter))
        found = score(model, tokenizer, held, "", subject=subject), score_general(model, tokenizer, "", subject=subject)
        reports[subject] = {report.dataset: report for report in found}
    return reports, DEFAULT_GATES


def simulate(reports: dict[str, Any], gates: list[Any], d: float, groups: int, simulations: int) -> dict[str, Any]:
    """The shares of simulations in which each test promotes."""
    from scipy import stats

    from sovereign_tasks.evaluate.compare import ALPHA, compare
    from sovereign_tasks.evaluate.gates import judge, passed

    began = time.monotonic()
    held = {subject: by["holdout"] for subject, by in reports.items()}
    ours, theirs = (np.array(held[subject].scores[METRIC]) for subject in ("candidate", "champion"))
    shift = d * np.sqrt(np.mean((theirs - ours) ** 2))  # the deviation of the differences once labels are swapped
    rng = np.random.default_rng(int(1000 * (d + 1)) + groups)
    names = [str(n) for n in range(groups)]
    promoted: dict[str, int] = dict.fromkeys(("paired", "mean is higher", "unpaired"), 0)
    whole: Counter[str] = Counter()
    tried = max(1, simulations // 10)
    for n in range(simulations):
        drawn, swapped = rng.integers(len(ours), size=groups), rng.random(groups) < 0.5
        new = np.where(swapped, theirs[drawn], ours[drawn]) - shift  # of a loss less is better
        old = np.where(swapped, ours[drawn], theirs[drawn])
        promoted["paired"] += compare(old - new, names).low > 0
        promoted["mean is higher"] += old.mean() > new.mean()
        promoted["unpaired"] += stats.ttest_ind(old, new, equal_var=False, alternative="greater").pvalue < ALPHA
        if n < tried:
            pair = {"candidate": new, "champion": old}
            drawn_reports = {subject: redraw(by, drawn, names, pair.get(subject)) for subject, by in reports.items()}
            rows = judge(gates, *(drawn_reports[s] for s in ("candidate", "base", "champion")))
            whole.update({"whole gate": passed(rows)} | {row.gate: row.passed for row in rows})
    row = {test: round(count / simulations, 4) for test, count in promoted.items()}
    row |= {gate: round(count / tried, 4) for gate, count in whole.items()}
    print(json.dumps({"d": d, "groups": groups, "seconds": round(time.monotonic() - began)} | row), flush=True)
    return row


def redraw(reports: dict[str, Any], drawn: np.ndarray, names: list[str], losses: np.ndarray | None) -> dict[str, Any]:
    """The reports with the holdout's rows as they were drawn, and the losses of the simulation where there are any."""
    from dataclasses import replace

    held = reports["holdout"]
    scores = {metric: [values[i] for i in drawn] for metric, values in held.scores.items()}
    scores |= {METRIC: losses.tolist()} if losses is not None else {}
    return reports | {"holdout": replace(held, example_ids=names, groups=names, scores=scores)}


if __name__ == "__main__":
    main()
