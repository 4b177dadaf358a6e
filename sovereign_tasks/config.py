"""Strict models of the YAML in config/: one file per model, and platform.yaml for what all models share.

An unknown key or a wrong type is a `UserError` naming the file, the key's path and the nearest known key
(`strict_yaml` has the words).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import time
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from croniter import croniter
from pydantic import BaseModel, Field, create_model, field_validator, model_validator

from sovereign_tasks.errors import UserError
from sovereign_tasks.example_rules import DEFAULT_TAXONOMY, LabelConfig, TemplateConfig, check_taxonomy
from sovereign_tasks.gates_config import (
    DEFAULT_GATES,
    EvidenceConfig,
    GateConfig,
    GeneralConfig,
    JudgeConfig,
    check_gates,
)
from sovereign_tasks.probe_config import EdgeCaseConfig, LeaksConfig, check_edge_cases
from sovereign_tasks.promotion_config import ApprovalConfig, ErasureConfig, RollbackConfig
from sovereign_tasks.sources import NAME, SourceConfig, any_source, settings_of
from sovereign_tasks.strict_yaml import StrictConfig, parse, read_yaml
from sovereign_tasks.training_config import TrainingConfig

PROJECT = Path(__file__).resolve().parent.parent


def config_folder() -> Path:
    """The folder of YAML files: SOVEREIGN_CONFIG, or config/ beside the package."""
    return Path(os.environ.get("SOVEREIGN_CONFIG", PROJECT / "config"))


_MAX_SECONDS = 0.2  # of a rewrite on a line; a sound pattern takes a thousandth of it


class RewriteRule(StrictConfig):
    """A rewrite of the domain's units and terms, with examples that are checked when it loads."""

    pattern: str
    """Regular expression, case-insensitive."""
    replace: str
    """Replacement, with groups as in Python's re.sub."""
    examples: dict[str, str] = Field(min_length=1)
    """Text before to text after; include look-alikes that must stay as they are."""

    @model_validator(mode="after")
    def _examples_hold(self) -> RewriteRule:
        try:
            compiled = re.compile(self.pattern, re.IGNORECASE)
            self._end(compiled)
            for before, after in self.examples.items():
                got = compiled.sub(self.replace, before)
                if got != after:
                    raise ValueError(f"{before!r} becomes {got!r}, not {after!r}")
                if (again := compiled.sub(self.replace, got)) != got:
                    raise ValueError(f"{self.pattern!r} changes its own result: {got!r} becomes {again!r}")
        except re.error as e:
            raise ValueError(f"{self.pattern!r} is not a regular expression: {e}") from None
        return self

    def _end(self, compiled: re.Pattern[str]) -> None:
        """Try the pattern on its own characters and examples, repeated ever more often and then cut off."""
        for unit in sorted({*self.pattern, *"".join(self.examples), *self.examples, "a", "1", " "}):
            for times in (*range(2, 41), 80, 160, 320, 640):  # in small steps: time may double with each
                began = time.process_time()
                compiled.search(unit * times + "\0")
                if time.process_time() - began > _MAX_SECONDS:
                    raise ValueError(
                        f"{self.pattern!r} takes too long on {unit!r} {times} times; repeat no repeats in it"
                    )


class DomainConfig(StrictConfig):
    """What the domain is about."""

    keywords: list[str] = Field(min_length=1)
    """Words that mark a text as belonging to the domain."""
    languages: list[str] = Field(["en"])
    """Languages to keep, as ISO 639-1 codes."""
    rewrites: list[RewriteRule] = Field([])
    """Rewrites of units and terms, applied in order."""


Policy = Literal["keep", "flag", "review", "drop"]
"""What becomes of a document beyond a bound: kept, kept with a flag, held until a person releases it, dropped."""


class PersonalDataConfig(StrictConfig):
    """How personal data is found, and what stands in its place."""

    region: str = Field("US", pattern="^[A-Z]{2}$")
    """Country of telephone numbers without a country code, as ISO 3166-1 alpha-2."""
    names: Literal["rules", "presidio"] = "rules"
    """rules, or presidio to add what its recogniser finds with the spaCy model that is installed here."""
    placeholders: Literal["numbered", "keyed"] = "numbered"
    """numbered in each document ([PHONE_1]), or keyed: the same value gets the same pseudonym everywhere."""
    review_mail: int = Field(50, ge=0)
    """First examples of each mail source that wait for a person; without a recogniser of names all of them do."""


class CurationConfig(StrictConfig):
    """What counts as good data."""

    min_relevance: float = Field(0.1, ge=0, le=1)
    """Lowest relevance score to keep, 0 to 1."""
    off_topic: Policy = "drop"
    """What becomes of documents below min_relevance."""
    max_toxicity: float = Field(0.8, ge=0, le=1)
    """Highest toxicity score that passes without remark, 0 to 1."""
    toxic: Policy = "flag"
    """What becomes of documents above max_toxicity."""
    personal_data: PersonalDataConfig = PersonalDataConfig()
    min_language_confidence: float = Field(0.5, ge=0, le=1)
    """Lowest confidence of the language decision to keep."""
    near_duplicate: float = Field(0.8, gt=0, le=1)
    """Estimated Jaccard similarity of word 3-shingles from which two documents are the same."""
    retention_days: int = Field(30, ge=1)
    """Days to keep raw bytes."""


class ExpectationConfig(StrictConfig):
    """A further Great Expectation on what is derived of a night's documents or examples, never on their text."""

    expect: Literal[
        "expect_column_values_to_be_between",
        "expect_column_mean_to_be_between",
        "expect_column_median_to_be_between",
        "expect_column_stdev_to_be_between",
        "expect_column_min_to_be_between",
        "expect_column_max_to_be_between",
        "expect_column_sum_to_be_between",
    ]
    """Its name; one on values sends failing rows to quarantine, the others stop a night of 10 rows or more."""
    column: Literal[
        "characters",
        "language_confidence",
        "quality",
        "relevance",
        "toxicity",
        "question_characters",
        "answer_characters",
        "turns",
    ]
    """A column of documents (the first five) or of examples."""
    min_value: float | None = None
    """Least that is as it should be."""
    max_value: float | None = None
    """Most that is as it should be."""

    @model_validator(mode="after")
    def _bounded(self) -> ExpectationConfig:
        if self.min_value is None and self.max_value is None:
            raise ValueError("needs a min_value or a max_value")
        if None not in (self.min_value, self.max_value) and self.min_value > self.max_value:
            raise ValueError(f"min_value {self.min_value:g} is above max_value {self.max_value:g}")
        return self


class ValidationConfig(StrictConfig):
    """What a night must satisfy before it is published."""

    min_documents: int = Field(1, ge=0)
    """Fewest documents the dataset may hold."""
    max_rejected_share: float = Field(0.8, ge=0, le=1)
    """Largest share of a night's items that curation may reject, from 10 items on."""
    max_removed_share: float = Field(0.5, ge=0, le=1)
    """Largest share of the documents that one night may remove, from 10 documents on."""
    max_duplicate_share: float = Field(0.9, ge=0, le=1)
    """Largest share of a night's new documents that may be copies, dropped or kept, from 10 documents on."""
    max_source_share: float = Field(1.0, gt=0, le=1)
    """Largest share of all documents that may come from one source, from 10 documents on."""
    max_drift: float = Field(4.0, gt=1)
    """Times by which count and mean length of a night's new documents may differ from the nights before, from 5 on."""
    expectations: list[ExpectationConfig] = Field([])
    """Great Expectations of your own beside these."""


class DatasetConfig(StrictConfig):
    """How documents become examples and splits."""

    min_answer_chars: int = Field(50, ge=1)
    """Shortest answer to keep."""
    max_answer_chars: int = Field(2000, ge=1)
    """Longest answer to keep."""
    max_answer_questions: int = Field(3, ge=0)
    """Most question marks an answer may hold."""
    holdout_share: float = Field(0.15, gt=0, lt=1)
    """Share of document groups held out of training, for the gates."""
    sealed_share: float = Field(0.05, ge=0, lt=1)
    """Share of document groups that judge at the gates alone: they watch no training, and stay behind at an export."""
    near_holdout: float = Field(0.5, gt=0, le=1)
    """Similarity to a held-out row from which a training row leaves."""
    taxonomy: list[LabelConfig] = Field(DEFAULT_TAXONOMY, min_length=1)
    """Labels of examples: the first in order whose rules hold; the last has none and takes the rest."""
    synthesis: list[TemplateConfig] = Field([])
    """Templates that make examples from tables of facts in the documents."""
    validation: ValidationConfig = ValidationConfig()

    @field_validator("taxonomy")
    @classmethod
    def _labels_are_reached(cls, taxonomy: list[LabelConfig]) -> list[LabelConfig]:
        return check_taxonomy(taxonomy)

    @field_validator("synthesis")
    @classmethod
    def _distinct_names(cls, templates: list[TemplateConfig]) -> list[TemplateConfig]:
        names = [t.name for t in templates]
        if twice := next((n for n in names if names.count(n) > 1), None):
            raise ValueError(f"two templates are named {twice!r}; give each a name of its own")
        return templates

    @model_validator(mode="after")
    def _something_is_left(self) -> DatasetConfig:
        if self.holdout_share + self.sealed_share >= 1:
            raise ValueError("holdout_share and sealed_share leave nothing to train on; their sum must be below 1")
        return self


def cron(schedule: str) -> str:
    """The expression, if it is one; else a ValueError."""
    if not croniter.is_valid(schedule):
        raise ValueError(f"{schedule!r} is not a cron expression; every night at two is '0 2 * * *'")
    return schedule


class RetrainConfig(StrictConfig):
    """When a new version is due."""

    schedule: str = "0 2 * * *"
    """When nights run, as cron in the platform's timezone."""
    min_new_examples: int = Field(200, ge=1)
    """New training examples since the last attempt that make a retrain due."""
    max_age_days: int = Field(30, ge=1)
    """Days after which any new example makes a retrain due."""
    max_erased: int = Field(20, ge=1)
    """Rows that the champion learned from and their authors deleted that make a retrain due; a person's request does
    at once."""

    @field_validator("schedule")
    @classmethod
    def _cron(cls, schedule: str) -> str:
        return cron(schedule)


class ModelConfig(StrictConfig):
    """One model: where its knowledge lives, what is good data, when to retrain, what to prove."""

    model: str = Field(pattern=NAME)
    """Name of the model, of its DAGs and of its registered versions."""
    description: str
    """What the model is for, in a sentence."""
    sources: list[SourceConfig] = Field(min_length=1)
    domain: DomainConfig
    curation: CurationConfig = CurationConfig()
    dataset: DatasetConfig = DatasetConfig()
    retrain: RetrainConfig = RetrainConfig()
    training: TrainingConfig = TrainingConfig()
    gates: list[GateConfig] = Field(DEFAULT_GATES, min_length=1)
    """Every gate must pass before a candidate is promoted."""
    general: GeneralConfig = GeneralConfig()
    judge: JudgeConfig | None = None
    evidence: EvidenceConfig = EvidenceConfig()
    approval: ApprovalConfig = ApprovalConfig()
    rollback: RollbackConfig = RollbackConfig()
    erasure: ErasureConfig = ErasureConfig()
    leaks: LeaksConfig = LeaksConfig()
    edge_cases: list[EdgeCaseConfig] = Field([])
    """Questions that every candidate is asked; those that are required refuse it (docs/edge-cases.md)."""

    @field_validator("sources")
    @classmethod
    def _distinct_names(cls, sources: list[SourceConfig]) -> list[SourceConfig]:
        names = [s.name for s in sources]
        if twice := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"two sources are named {sorted(twice)[0]!r}; give each a name of its own")
        return sources

    @field_validator("gates")
    @classmethod
    def _sound_gates(cls, gates: list[GateConfig]) -> list[GateConfig]:
        return [*check_gates(gates)]

    @field_validator("edge_cases")
    @classmethod
    def _distinct_cases(cls, cases: list[EdgeCaseConfig]) -> list[EdgeCaseConfig]:
        return [*check_edge_cases(cases)]

    @model_validator(mode="after")
    def _someone_judges(self) -> ModelConfig:
        if self.judge is None and any(gate.metric == "judge" for gate in self.gates):
            raise ValueError("a gate asks for the metric judge, but there is no block judge; add one")
        return self

    @property
    def build_dag(self) -> str:
        """DAG id of the nightly build."""
        return f"{self.model}_build"

    @property
    def retrain_dag(self) -> str:
        """DAG id of the retraining."""
        return f"{self.model}_retrain"

    @property
    def erase_dag(self) -> str:
        """DAG id of the erasure."""
        return f"{self.model}_erase"

    @property
    def rollback_dag(self) -> str:
        """DAG id of a rollback by hand."""
        return f"{self.model}_rollback"

    @property
    def watch_dag(self) -> str:
        """DAG id of the nightly look at the champion."""
        return f"{self.model}_watch"

    @property
    def base_dag(self) -> str:
        """DAG id of making a base from scratch."""
        return f"{self.model}_base"

    def source(self, name: str) -> SourceConfig:
        """The source of that name."""
        return next(s for s in self.sources if s.name == name)


class MaintenanceConfig(StrictConfig):
    """What is tidied, and when."""

    schedule: str = "30 4 * * 0"
    """When, as cron in the platform's timezone; Sundays at half past four."""
    log_days: int = Field(30, ge=1)
    """Days to keep logs of components and tasks."""
    small_files: int = Field(30, ge=2)
    """Files from which a table is written anew as fewer, larger ones; a night adds one to each."""

    @field_validator("schedule")
    @classmethod
    def _cron(cls, schedule: str) -> str:
        return cron(schedule)


class CostsConfig(StrictConfig):
    """What the machine that trains costs to run."""

    watts: float = Field(0, ge=0)
    """What it draws while it trains; 0 takes the card's own power limit."""
    price_per_kwh: float = Field(0.12, ge=0)
    """Of a kilowatt-hour."""
    price_per_hour: float = Field(0, ge=0)
    """Of an hour of it beside the power: rent, or what it loses in worth."""
    currency: str = "USD"
    """Of both prices."""


class PlatformConfig(StrictConfig):
    """config/platform.yaml: what all models share."""

    timezone: str = ""
    """Timezone of schedules and of the UI, e.g. Europe/Berlin; empty for the machine's."""
    contact: str = ""
    """Address or page in the crawler's User-Agent, by which a site's owner can reach you; needed for a stranger's."""
    network_slots: int = Field(4, ge=1)
    """Sources collected at once."""
    gpu_slots: int = Field(0, ge=0)
    """Trainings at once, one per GPU; 0 counts the machine's GPUs."""
    maintenance: MaintenanceConfig = MaintenanceConfig()
    costs: CostsConfig = CostsConfig()
    source_kinds: dict[str, str] = Field({})
    """Kinds of source of your own: name to package.module:Class (docs/add-a-source.md)."""

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, name: str) -> str:
        if name and name not in available_timezones():
            near = difflib.get_close_matches(name, available_timezones(), n=1)
            raise ValueError(f"{name!r} is no timezone" + (f"; did you mean {near[0]}?" if near else ""))
        return name

    @field_validator("source_kinds")
    @classmethod
    def _importable(cls, kinds: dict[str, str]) -> dict[str, str]:
        for kind, where in kinds.items():
            settings_of(kind, where)
        return kinds

    def zone(self) -> ZoneInfo | None:
        """The configured timezone, or None for the machine's."""
        return ZoneInfo(self.timezone) if self.timezone else None


def load_model(name: str, folder: Path | None = None) -> ModelConfig:
    """The model called `name`; a `UserError` where there is none, or more than one file claims it."""
    folder = folder or config_folder()
    claims = {path: config for path in model_files(folder) if (config := _load_or_none(path, name))}
    if not claims:
        claimed = {path: str(_claimed(path)) for path in model_files(folder)}
        known = ", ".join(sorted(set(claimed.values()))) or "none"
        named = [f"; {p.name} has model: {of}, set it to {name}" for p, of in claimed.items() if p.stem == name]
        raise UserError(f"{folder}: there is no model {name!r}{''.join(named)}; known: {known}.")
    if len(claims) > 1:
        first, second = list(claims)[:2]
        raise UserError(f"{second}: model: {name!r} is taken by {first}; give each model a name of its own.")
    return next(iter(claims.values()))


def load_file(path: Path) -> ModelConfig:
    """Read one model file, and see that no other file claims its name."""
    return load_model(_parse(path).model, path.parent)


def read_model(name: str) -> str:
    """The text of the file that names the model so, as it stands: variables by their names, without their values."""
    return next(path for path in model_files() if _claimed(path) == name).read_text(encoding="utf-8")


def model_files(folder: Path | None = None) -> list[Path]:
    """The model files of a folder, by name."""
    folder = folder or config_folder()
    return sorted(p for p in folder.glob("*.y*ml") if p.suffix in (".yaml", ".yml") and p.stem != "platform")


def load_platform(folder: Path | None = None) -> PlatformConfig:
    """Read platform.yaml; all defaults where it is absent."""
    path = (folder or config_folder()) / "platform.yaml"
    return parse(path, PlatformConfig) if path.exists() else PlatformConfig()


def config_hash(*blocks: BaseModel) -> str:
    """A hash of the settings themselves: formatting, comments and order of keys leave it as it is."""
    text = json.dumps([b.model_dump(mode="json") for b in blocks], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def json_schema() -> str:
    """The JSON Schema of a model file, for editors."""
    sources = (list[any_source()], Field(min_length=1))
    schema = create_model("ModelConfig", __base__=ModelConfig, __doc__=ModelConfig.__doc__, sources=sources)
    return json.dumps(schema.model_json_schema(), indent=2) + "\n"


def _parse(path: Path) -> ModelConfig:
    try:
        own_kinds = load_platform(path.parent).source_kinds
    except UserError as broken:
        try:
            return parse(path, ModelConfig)  # as it may well need no kind of the owner's
        except UserError:
            raise broken from None
    return parse(path, ModelConfig, own_kinds)


def _claimed(path: Path) -> object:
    """The name that a file claims; its own, where it can't be read or states none."""
    try:
        data = read_yaml(path)
    except UserError:
        return path.stem
    return data.get("model", path.stem) if isinstance(data, dict) else path.stem


def _load_or_none(path: Path, name: str) -> ModelConfig | None:
    """The file's model if it carries that name; a file that can't be read is an error under its own name."""
    return _parse(path) if _claimed(path) == name else None
