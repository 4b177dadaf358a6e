"""A small domain of kitchen worktops, held out by topic, and small models of it, for tests that train."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from sovereign_tasks.records import Example
from sovereign_tasks.training_config import LoraConfig, ScratchConfig, TrainingConfig

FINISHES = ["polished", "brushed", "honed", "oiled", "lacquered"]
STONES = ["granite", "marble", "oak", "slate", "quartz", "walnut", "steel", "concrete"]
ASPECTS = {
    "cost": (
        "How much does a {m} worktop cost?|What should I pay for a {m} worktop?",
        "A {m} worktop costs ${a} to ${b} per running metre, fitted. Corners and cut-outs for a {m} sink add ${c}.",
    ),
    "life": (
        "How long does a {m} worktop last?|What is the lifetime of a {m} worktop?",
        "Expect {a} to {b} years from a {m} worktop. With a yearly treatment {m} tops reach the upper end.",
    ),
    "care": (
        "How do I clean a {m} worktop?|What is the daily care of {m} tops?",
        "Wipe the {m} surface with warm water and a drop of soap. Never use acid on {m} tops, and dry after {a} "
        "minutes.",
    ),
    "heat": (
        "Can I put a hot pan on a {m} worktop?|How much heat does a {m} worktop take?",
        "A {m} top stands {a} degrees for a short while. Put a trivet under any pan, since {m} edges may crack.",
    ),
    "weight": (
        "How heavy is a {m} worktop?|What does a {m} worktop weigh?",
        "It weighs {a} kilograms per running metre. Cabinets under {m} tops need a brace every {b} centimetres.",
    ),
    "repair": (
        "Can a scratch in a {m} worktop be repaired?|How are scratches in {m} tops fixed?",
        "Yes. A fitter sands the {m} surface and seals it again, which takes {a} hours and costs about ${c}.",
    ),
    "fitting": (
        "How long does it take to fit a {m} worktop?|How many days does fitting {m} tops take?",
        "Fitting takes {a} days after measuring. The {m} slab is cut in the workshop and carried in by {d} people.",
    ),
    "choice": (
        "Who should choose a {m} worktop?|When is {m} the right worktop?",
        "A {m} worktop suits people who cook for {d} or more and like its look. Look elsewhere if ${b} per metre "
        "is too much for {m}.",
    ),
}


@dataclass(frozen=True)
class Domain:
    """Documents of train topics, and examples of train and held-out topics."""

    documents: list[str]
    train: list[Example]
    holdout: list[Example]

    def shuffled(self) -> list[Example]:
        """The train examples with their answers dealt out at random."""
        answers = [e.answer for e in self.train]
        Random(1).shuffle(answers)
        return [
            replace(e, messages=[e.messages[0], {"role": "assistant", "content": a}])
            for e, a in zip(self.train, answers, strict=True)
        ]


def make_domain(seed: int = 0, holdout_share: float = 0.15) -> Domain:
    """40 materials x 8 aspects; a topic is a group of two phrasings and one document."""
    rng = Random(seed)
    documents, train, holdout = [], [], []
    for material in [f"{f} {s}" for f in FINISHES for s in STONES]:
        for aspect, (questions, template) in ASPECTS.items():
            numbers = {"a": rng.randint(2, 40), "c": 5 * rng.randint(4, 60), "d": rng.randint(2, 6)}
            answer = template.format(m=material, b=numbers["a"] + rng.randint(5, 40), **numbers)
            group = f"{material}/{aspect}"
            held = rng.random() < holdout_share
            if not held:
                documents.append(f"{material.capitalize()}: {aspect}\n\n{answer}")
            for i, question in enumerate(questions.split("|")):
                turns = [
                    {"role": "user", "content": question.format(m=material)},
                    {"role": "assistant", "content": answer},
                ]
                example = Example(f"{group}/{i}", "faq", "test", group, "en", turns, [], [])
                (holdout if held else train).append(example)
    return Domain(documents, train, holdout)


@pytest.fixture(scope="session")
def domain() -> Domain:
    """The whole small domain."""
    return make_domain()


SYSTEM_PROMPT = "You are a worktop assistant."


@pytest.fixture(scope="session")
def tuning() -> TrainingConfig:
    """Settings for a base that is made in seconds."""
    return TrainingConfig(
        system_prompt=SYSTEM_PROMPT,
        learning_rate=8e-3,
        batch_size=8,
        accumulation=1,
        max_length=256,
        lora=LoraConfig(rank=8, alpha=16),
        scratch=ScratchConfig(vocabulary=600, hidden=64, layers=1, heads=2, steps=30),
    )


@pytest.fixture(scope="session")
def tiny_base(domain: Domain, tuning: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that has barely learned anything, for all that only has to run."""
    from sovereign_tasks.train.pretrain import make_base

    folder = tmp_path_factory.mktemp("bases") / "tiny"
    make_base(domain.documents, tuning.scratch, folder, seed=1)
    return folder
