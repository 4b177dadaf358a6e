"""Names by Presidio with the spaCy model that is installed here: an option, and nothing is ever downloaded."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sovereign_tasks.config import PersonalDataConfig
from sovereign_tasks.curate.pii.forms import Hit
from sovereign_tasks.errors import UserError

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

_PEOPLE = "PERSON"
_PART = 100_000  # characters; spaCy refuses a million and keeps all of a text's tokens in memory
_WANTED = "personal_data.names: presidio needs "
_HOW = "; install them with `pip install presidio-analyzer` and a spaCy model's wheel, or set names: rules."


def recognises_names(settings: PersonalDataConfig) -> bool:
    """Whether the settings ask for a recogniser of names and one is installed here."""
    return settings.names == "presidio" and _has_presidio() and bool(_models())


def recognise_names(text: str, language: str) -> Iterator[Hit]:
    """Names that Presidio finds; a `UserError` where it or a spaCy model is missing."""
    model = _choose(language)
    start = 0
    while start < len(text):
        end = start + _PART
        if end < len(text) and (space := max(text.rfind(" ", start, end), text.rfind("\n", start, end))) > start:
            end = space + 1
        for found in _analyzer(model).analyze(text[start:end], language=model[:2], entities=[_PEOPLE]):
            name = text[start + found.start : start + found.end]
            kept = name.removesuffix("'s").removesuffix("’s").strip()
            if any(map(str.isalpha, kept)):
                first = start + found.start + name.index(kept)
                yield "NAME", first, first + len(kept)
        start = end


def _has_presidio() -> bool:
    return all(importlib.util.find_spec(name) for name in ("presidio_analyzer", "spacy"))


def _models() -> list[str]:
    import spacy

    return sorted(spacy.util.get_installed_models())


def _choose(language: str) -> str:
    """The installed model of a language, else of English, else any: the first by name, so large before small."""
    if not _has_presidio():
        raise UserError(f"{_WANTED}presidio-analyzer and spaCy, which are not installed here{_HOW}")
    models = _models()
    if not models:
        raise UserError(f"{_WANTED}a spaCy model, and none is installed here{_HOW}")
    return min(models, key=lambda m: (not m.startswith(f"{language}_"), not m.startswith("en_"), m))


@functools.cache
def _analyzer(model: str) -> AnalyzerEngine:
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    language = model[:2]
    engine = SpacyNlpEngine(models=[{"lang_code": language, "model_name": model}])
    engine.load()
    registry = RecognizerRegistry(
        recognizers=[SpacyRecognizer(supported_language=language, supported_entities=[_PEOPLE])],
        supported_languages=[language],
    )
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language])
