"""The recogniser of names: a spaCy model where one is installed, one clear sentence where none is."""

from __future__ import annotations

from pathlib import Path

import pytest

from sovereign_tasks.config import PersonalDataConfig
from sovereign_tasks.curate.pii import recogniser, recognises_names, scrub
from sovereign_tasks.errors import UserError

ASKED = PersonalDataConfig(names="presidio")


def test_rules_alone_recognise_no_names() -> None:
    assert not recognises_names(PersonalDataConfig())


def test_without_presidio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recogniser.importlib.util, "find_spec", lambda name: None)
    assert not recognises_names(ASKED)
    with pytest.raises(UserError, match="pip install presidio-analyzer"):
        scrub("Chase approved it", settings=ASKED)


def test_without_a_model_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    spacy = pytest.importorskip("spacy")
    pytest.importorskip("presidio_analyzer")
    # what a process has installed is read once, when spaCy is imported
    monkeypatch.setattr(spacy.util, "get_installed_models", list)
    assert not recognises_names(ASKED)
    with pytest.raises(UserError, match="a spaCy model, and none is installed"):
        scrub("Chase approved it", settings=ASKED)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models of spaCy as packages that are installed, which know a name each by a rule."""
    spacy = pytest.importorskip("spacy")
    pytest.importorskip("presidio_analyzer")
    for language, name in (("en", "Chase"), ("de", "Wolke")):
        nlp = spacy.blank(language)
        ruler = nlp.add_pipe("entity_ruler")
        ruler.add_patterns([{"label": "PERSON", "pattern": name}, {"label": "GPE", "pattern": "Denver"}])
        package = tmp_path / f"{language}_names"
        package.mkdir()
        nlp.to_disk(package / "model")
        package.joinpath("__init__.py").write_text(
            "from pathlib import Path\n\nfrom spacy.util import load_model\n\n\n"
            "def load(**overrides):\n    return load_model(Path(__file__).parent / 'model', **overrides)\n"
        )
        told = tmp_path / f"{language}_names-1.0.dist-info"
        told.mkdir()
        told.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {language}-names\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(spacy.util, "get_installed_models", lambda: ["de_names", "en_names"])
    recogniser._analyzer.cache_clear()


@pytest.mark.usefixtures("models")
def test_names_of_an_installed_model_go_and_places_stay() -> None:
    assert recognises_names(ASKED)
    assert scrub("Chase approved the roof in Denver.").text == "Chase approved the roof in Denver."
    found = scrub("Chase's roof in Denver, says [NAME_1].", settings=ASKED)
    assert found.text == "[NAME_2]'s roof in Denver, says [NAME_1]."
    assert found.counts == {"NAME": 1}


@pytest.mark.usefixtures("models")
def test_the_document_s_language_chooses_the_model() -> None:
    text = "Wolke und Chase"
    assert scrub(text, settings=ASKED, language="de").text == "[NAME_1] und Chase"
    assert scrub(text, settings=ASKED, language="fr").text == "Wolke und [NAME_1]"


@pytest.mark.usefixtures("models")
def test_a_long_text_is_read_in_parts() -> None:
    text = "Chase left. " * 12_000
    assert scrub(text, settings=ASKED).counts == {"NAME": 12_000}
