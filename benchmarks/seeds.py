"""What the bundled model learns, over several seeds of the whole run, and whether a bad candidate is refused.

    python benchmarks/seeds.py [--seeds 3]

Each seed is an installation of its own: another key, so other pages are held out, another base and another adapter.
Base and candidate are compared on the holdout as the gates compare them. Then an adapter is trained in the same way
on the same rows with their answers shuffled among the questions; the gates must refuse it, against the base and
against the champion. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from sovereign_tasks.config import PROJECT, ModelConfig, load_model
from sovereign_tasks.records import EvalReport, Example, GateRow

MODEL = "roofing"


def main() -> int:
    """Run every seed and print the figures side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default: 3, about four minutes each)")
    options = parser.parse_args()
    results = []
    for seed in range(1, options.seeds + 1):
        print(f"seed {seed} of {options.seeds}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="sovereign-seed-", ignore_cleanup_errors=True) as folder:
            results.append(run_seed(Path(folder), seed))
            print(json.dumps(results[-1]), file=sys.stderr)
    gains = [r["nll against base"]["difference"] for r in results]
    print(
        json.dumps(
            {
                "claim": "the candidate beats its base on held-out pages; one trained on shuffled answers is refused",
                "value": round(sum(gains) / len(gains), 3),
                "unit": "nats per answer token",
                "peer": "the base it was tuned from",
                "promoted": sum(r["promoted"] for r in results),
                "shuffled_refused": sum(r["shuffled_refused_by"] != [] for r in results),
                "seeds": results,
            }
        )
    )
    return 0


def run_seed(folder: Path, seed: int) -> dict[str, Any]:
    """The whole loop with one seed in a folder of its own, then the shuffled candidate."""
    config_folder, state = folder / "config", folder / "state"
    shutil.copytree(PROJECT / "config", config_folder)
    path = config_folder / f"{MODEL}.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings["training"]["seed"] = seed
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    environment = os.environ | {"SOVEREIGN_STATE": str(state), "SOVEREIGN_CONFIG": str(config_folder)}
    command = [sys.executable, "-m", "sovereign_tasks", "run", MODEL, "--up", "--once"]
    subprocess.run(command, cwd=PROJECT, env=environment, stdout=sys.stderr, check=True)
    os.environ.update(environment)
    os.environ["SOVEREIGN_KEY"] = json.loads((state / "secrets.json").read_text())["installation_key"]
    return describe(folder)


def describe(folder: Path) -> dict[str, Any]:
    """The gate rows of the run in this folder, and what the gates say of a shuffled candidate."""
    from sovereign_tasks.evaluate.gates import judge
    from sovereign_tasks.stages.context import open_context
    from sovereign_tasks.stages.scores import read_reports
    from sovereign_tasks.stages.snapshots import load_splits

    config = load_model(MODEL)
    ledger = open_context(MODEL, "").ledger
    verdict = ledger.decisions(MODEL, "gate")[0]
    context = open_context(MODEL, verdict["run"])
    made = ledger.training(MODEL, verdict["run"])
    reports = read_reports(context)
    splits = load_splits(context, ledger.snapshot(MODEL, made.snapshot))
    print("  training on shuffled answers", file=sys.stderr, flush=True)
    shuffled = train_shuffled(config, Path(made.base), splits, folder / "shuffled")
    refused = judge(config.gates, shuffled, reports["base"], reports["candidate"])
    ledger.engine.dispose()
    rows = ledger.gate_rows(MODEL, verdict["run"])
    return (
        {"seed": config.training.seed, "holdout": len(splits["holdout"]), "train": len(splits["train"])}
        | {row.gate: brief(row) for row in rows}
        | {
            "token_f1": {s: round(reports[s]["holdout"].mean("token_f1"), 3) for s in ("base", "candidate")},
            "promoted": verdict["outcome"] == "passed",
            "shuffled_refused_by": [row.gate for row in refused if not row.passed],
            "shuffled": {row.gate: brief(row) for row in refused},
        }
    )


def train_shuffled(
    config: ModelConfig, base: Path, splits: dict[str, list[Example]], output: Path
) -> dict[str, EvalReport]:
    """Reports of an adapter trained on the same rows, each with another row's answer."""
    from sovereign_tasks.causal_lm import load_with_adapter
    from sovereign_tasks.evaluate.score import score, score_general
    from sovereign_tasks.train.qlora import train

    answers = [e.messages[-1] for e in splits["train"]]
    random.Random(0).shuffle(answers)  # noqa: S311
    rows = [replace(e, messages=[*e.messages[:-1], answer]) for e, answer in zip(splits["train"], answers, strict=True)]
    adapter = train(rows, config.training, base, output, validation=splits["holdout"]).adapter
    model, tokenizer = load_with_adapter(base, Path(adapter))
    prompt = config.training.system_prompt
    held = score(model, tokenizer, splits["holdout"], prompt, subject="shuffled")
    general = score_general(model, tokenizer, prompt, subject="shuffled")
    return {held.dataset: held, general.dataset: general}


def brief(row: GateRow) -> dict[str, Any]:
    """A gate row's figures, rounded; what does not exist is None, since JSON has no NaN."""
    figures = {k: getattr(row, k) for k in ("candidate", "reference", "difference", "low", "high")}
    return {k: None if math.isnan(v) else round(v, 3) for k, v in figures.items()} | {"passed": row.passed}


if __name__ == "__main__":
    sys.exit(main())
