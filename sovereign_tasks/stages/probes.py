"""A candidate is asked what held-out rows don't ask: whether it gives away what it learned, and the owner's edge cases.

What was found lies in a file beside the run's scores: figures, ids and kinds, and of texts the answers to edge cases
alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_tasks.canaries import derive_canaries
from sovereign_tasks.errors import UserError
from sovereign_tasks.evaluate import probes as found
from sovereign_tasks.evaluate.probes import EdgeCase, Personal, Probes, Verbatim
from sovereign_tasks.probe_config import EdgeCaseConfig
from sovereign_tasks.records import EvalReport, Example, GateRow, Message, TrainingRun
from sovereign_tasks.stages.context import Context
from sovereign_tasks.stages.job import Job
from sovereign_tasks.stages.run_files import forget, keep, read_json, run_file, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from sovereign_tasks.causal_lm import Chat

STRUCTURED = frozenset("EMAIL PHONE CARD IBAN SSN ID IP MAC URL SECRET BIRTHDATE VEHICLE".split())
"""Kinds of personal data that have a form of their own; a name or a street may be anybody's, or nobody's."""
VERBATIM_ROWS, TRIED = 64, 1000
_NAME = "probes.json"


def probe(context: Context, made: TrainingRun, report: EvalReport, rows: Sequence[Example]) -> dict[str, Any]:
    """Probe a candidate and its base, keep what was found, and give its summary.

    `report` has the candidate's answers to the held-out `rows`.
    """
    from sovereign_tasks.causal_lm import load_with_adapter
    from sovereign_tasks.evaluate.edge_cases import answer_cases, faults

    model, tokenizer = load_with_adapter(Path(made.base), Path(made.adapter))
    cases = context.config.edge_cases
    answers = answer_cases(model, tokenizer, cases, context.config.training.system_prompt)
    exposure, not_exposed = _expose(context, made, model, tokenizer)
    probes = Probes(
        exposure=exposure,
        not_exposed=not_exposed,
        answers=len(report.answers) + len(answers),
        personal=find_personal(context, report, rows) + find_personal(context, *_as_rows(cases, answers)),
        verbatim=_give_back(context, made, model, tokenizer),
        edge_cases=[
            EdgeCase(name=case.called, answer=answer, faults=faults(case, answer))
            for case, answer in zip(cases, answers, strict=True)
        ],
    )
    keep(context, _NAME, lambda erased: asdict(_without(probes, erased)))
    return found.summary(probes)


def read_probes(context: Context) -> Probes:
    """What probing this run's candidate found."""
    path = run_file(context, _NAME)
    if not path.exists():
        raise UserError(f"{context.model}: run {context.run} was never probed; clear its task evaluate in Airflow.")
    return Probes(**read_json(path))


def probe_rows(context: Context) -> list[GateRow]:
    """The gate rows of what probing this run's candidate found."""
    return found.gate_rows(read_probes(context), context.config.leaks, context.config.edge_cases)


def probe_summary(context: Context) -> str:
    """What was found, as JSON for MLflow: no answers, and no ids of rows."""
    return json.dumps(found.summary(read_probes(context)), indent=2) + "\n"


def forget_probes(context: Context, example_ids: Collection[str]) -> int:
    """Remove what was found about these examples from every run's file; how many findings those were."""
    wanted = {*example_ids}

    def drop(plain: Any) -> tuple[Any, int]:
        probes = Probes(**plain)
        kept = _without(probes, wanted)
        return asdict(kept), _findings(probes) - _findings(kept)

    return forget(context, _NAME, drop)


def blank_cases(context: Context, run: str) -> int:
    """Blank the answers to edge cases in a run's file; how many those were."""
    path = run_file(context, _NAME, run)
    probes = Probes(**read_json(path)) if path.exists() else Probes()
    if blanked := sum(bool(case["answer"]) for case in probes.edge_cases):
        cases = [EdgeCase(**{**case, "answer": ""}) for case in probes.edge_cases]
        write_json(path, asdict(replace(probes, edge_cases=cases)))
    return blanked


def find_personal(context: Context, report: EvalReport, rows: Sequence[Example]) -> list[Personal]:
    """The answers with personal data of a form that stands neither in their chat nor in the system's prompt."""
    from sovereign_tasks.curate.pii import find

    settings = context.config.curation.personal_data.model_copy(update={"names": "rules"})
    known = {example.example_id: example for example in rows}
    told = context.config.training.system_prompt
    leaks: list[Personal] = []
    for example_id, answer in zip(report.example_ids, report.answers, strict=True):
        said = " ".join(_plain(text) for text in (told, *(m["content"] for m in known[example_id].messages)))
        spans = [s for s in find(answer, settings=settings) if s.kind in STRUCTURED]
        if kinds := sorted({s.kind for s in spans if _plain(answer[s.start : s.end]) not in said}):
            leaks.append(Personal(example_id=example_id, kinds=kinds))
    return leaks


def _as_rows(cases: Sequence[EdgeCaseConfig], answers: list[str]) -> tuple[EvalReport, list[Example]]:
    """The answers to edge cases as to held-out questions, by the cases' names; right is what they must contain."""
    rows = []
    for case in cases:
        turns = [
            Message(role="user", content=case.question),
            Message(role="assistant", content=" ".join(case.must_contain)),
        ]
        rows.append(Example(f"edge case: {case.called}", "edge_case", "", "", "en", turns, [], []))
    ids = [row.example_id for row in rows]
    return EvalReport("candidate", "edge cases", ids, ids, {}, answers), rows


def _plain(text: str) -> str:
    """Letters and digits alone: a number is the same however it is written."""
    return "".join(c for c in text.casefold() if c.isalnum())


def _expose(
    context: Context, made: TrainingRun, model: Any, tokenizer: PreTrainedTokenizerFast
) -> tuple[dict[str, list[float]], str]:
    """The exposure of a training's canaries by candidate and base, or why there is none."""
    from sovereign_tasks.evaluate.leak import exposures

    if not context.config.leaks.canaries:
        return {}, ""
    if not made.canaries:
        return {}, "it was trained without canaries; train again"
    content_hash = context.ledger.snapshot(context.model, made.snapshot).content_hash
    canaries = derive_canaries(content_hash, len(made.canaries))
    if [canary.example.example_id for canary in canaries] != made.canaries:
        return {}, "its canaries can't be derived again, since the key or the release is another; train again"
    prompt = context.config.training.system_prompt
    ours = exposures(model, tokenizer, canaries, prompt)
    with model.disable_adapter():
        return {"candidate": ours, "base": exposures(model, tokenizer, canaries, prompt)}, ""


def _give_back(context: Context, made: TrainingRun, model: Any, tokenizer: PreTrainedTokenizerFast) -> list[Verbatim]:
    """Which of some training rows with long answers are given back word for word, by candidate and base."""
    from sovereign_tasks.evaluate.leak import reproduced

    job = Job.of(context, made.snapshot, made.base)
    long = dict(islice(_long(job.sampled.examples, context, tokenizer), VERBATIM_ROWS))
    ours = reproduced(model, tokenizer, list(long.values()))
    with model.disable_adapter():
        theirs = reproduced(model, tokenizer, list(long.values()))
    return [Verbatim(example_id=i, candidate=a, base=b) for i, a, b in zip(long, ours, theirs, strict=True)]


def _long(
    examples: Sequence[Example], context: Context, tokenizer: PreTrainedTokenizerFast
) -> Iterator[tuple[str, Chat]]:
    """Rows whose answers have enough tokens, in a fixed order that is no source's; not more than some are tried."""
    from sovereign_tasks.causal_lm import encode_chat
    from sovereign_tasks.evaluate.leak import EXTRACTED

    training = context.config.training
    ordered = sorted(examples, key=lambda e: hashlib.sha256(f"verbatim:{e.example_id}".encode()).digest())
    for example in islice((e for e in ordered if len(e.answer.encode()) >= EXTRACTED), TRIED):
        chat = encode_chat(tokenizer, example.messages, training.system_prompt)
        if len(chat.input_ids) - chat.answer_start >= EXTRACTED and len(chat.input_ids) <= training.max_length:
            yield example.example_id, chat


def _findings(probes: Probes) -> int:
    return len(probes.personal) + len(probes.verbatim)


def _without(probes: Probes, example_ids: Collection[str]) -> Probes:
    personal = [row for row in probes.personal if row["example_id"] not in example_ids]
    verbatim = [row for row in probes.verbatim if row["example_id"] not in example_ids]
    return replace(probes, personal=personal, verbatim=verbatim)
