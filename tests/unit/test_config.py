"""config.py and strict_yaml.py: what loads, and the one sentence for what does not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sovereign_tasks import config
from sovereign_tasks.errors import UserError
from sovereign_tasks.probe_config import EdgeCaseConfig
from sovereign_tasks.sources import KINDS, SourceConfig

CONFIG = config.PROJECT / "config"
ROOFING = CONFIG / "roofing.yaml"


def _write(folder: Path, data: dict[str, Any] | str, name: str = "roofing") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return path


@pytest.fixture
def roofing() -> dict[str, Any]:
    """The bundled model file, as data to spoil."""
    return yaml.safe_load(ROOFING.read_text(encoding="utf-8"))


@pytest.fixture
def refusal(tmp_path: Path, roofing: dict[str, Any]) -> Callable[..., str]:
    """The sentence that refuses the bundled model with one value changed, or taken out."""

    def refuse(*path: str | int, value: Any = ...) -> str:
        block: Any = roofing
        for step in path[:-1]:
            block = block[step]
        if value is ...:
            del block[path[-1]]
        else:
            block[path[-1]] = value
        file = _write(tmp_path, roofing)
        with pytest.raises(UserError) as caught:
            config.load_file(file)
        sentence = str(caught.value)
        assert sentence.startswith(f"{file}: ")
        assert sentence.endswith((".", "?"))
        assert "\n" not in sentence
        return sentence.removeprefix(f"{file}: ")

    return refuse


@pytest.mark.parametrize("path", config.model_files(CONFIG), ids=lambda path: path.stem)
def test_every_bundled_model_loads(path: Path) -> None:
    assert config.load_file(path).model == path.stem


def test_platform_file_states_the_defaults() -> None:
    stated = yaml.safe_load((CONFIG / "platform.yaml").read_text(encoding="utf-8"))
    assert config.load_platform(CONFIG) == config.PlatformConfig()
    assert set(stated) == set(config.PlatformConfig.model_fields)


def test_schema_file_is_current_and_admits_the_bundled_model(roofing: dict[str, Any]) -> None:
    schema = (CONFIG / "model.schema.json").read_text(encoding="utf-8")
    assert schema == config.json_schema(), "write it anew: python -m sovereign_tasks schema > config/model.schema.json"
    jsonschema.validate(roofing, json.loads(schema))
    assert ROOFING.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=model.schema.json\n")


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("curation", "min_relevanse"), 1, "curation.min_relevanse is not a known key; did you mean min_relevance?"),
        (("sources", 0, "max_page"), 1, "sources.almanac.max_page is not a known key; did you mean max_pages?"),
        # The nearest key of the block it stands in, though another block has this very one.
        (("sources", 2, "max_byte"), 1, "sources.house.max_byte is not a known key; did you mean max_bytes?"),
        (("retrain", "min_new_examples"), "40", "retrain.min_new_examples: should be a whole number, not '40'."),
        (("training", "epochs"), "three", "training.epochs: should be a number, not 'three'."),
        (("training", "learning_rate"), float("nan"), "training.learning_rate: should be a finite number, not nan."),
        (
            ("sources", 0, "enabled"),
            "yes please",
            "sources.almanac.enabled: should be true or false, not 'yes please'.",
        ),
        (("domain", "keywords"), "roof", "domain.keywords: should be a list, not 'roof'."),
        (("curation",), None, "curation: should be a block of keys, but is empty."),
        (("description",), ["a"], "description: should be text, not a list."),
        (("dataset", "holdout_share"), 1.5, "dataset.holdout_share: should be less than 1, not 1.5."),
        (("description",), ..., "description is missing."),
        (("sources", 1, "agreement"), ..., "sources.forum.agreement is missing."),
        (("sources", 0, "kind"), ..., "sources.almanac.kind is missing."),
        (
            ("sources", 0, "kind"),
            "wep",
            f"sources.almanac.kind: should be {' or '.join(KINDS)}, not 'wep'; did you mean web?",
        ),
        (("sources", 0, "kind"), ["web"], "sources.almanac.kind: should be text, not a list."),
        (("sources", 0, "start"), ["ftp://x"], "sources.almanac.start: 'ftp://x' is not an http or https address."),
        (
            ("sources", 1, "name"),
            "almanac",
            "sources: two sources are named 'almanac'; give each a name of its own.",
        ),
        (
            ("retrain", "schedule"),
            "every day",
            "retrain.schedule: 'every day' is not a cron expression; every night at two is '0 2 * * *'.",
        ),
        (
            ("domain", "rewrites", 0, "examples"),
            {"12 sf": "12 sq"},
            "domain.rewrites.0: '12 sf' becomes '12 square feet', not '12 sq'.",
        ),
        (("gates",), [], "gates: needs at least 1 entry."),
        (("rollback",), {"looks": [200, 100]}, "rollback.looks: [200, 100] must ascend."),
        (("rollback",), {"looks": [5]}, "rollback.looks.0: should be greater than or equal to 20, not 5."),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_bad_value_is_refused_in_one_sentence(
    refusal: Callable[..., str], path: tuple[str | int, ...], value: Any, sentence: str
) -> None:
    assert refusal(*path, value=value) == sentence


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"expect": "expect_column_men_to_be_between"}, "; did you mean expect_column_mean_to_be_between?"),
        ({"column": "caracters"}, ", not 'caracters'; did you mean characters?"),
        ({"column": "text"}, " or turns, not 'text'."),
        ({"mostly": 0.9}, "expectations.0.mostly is not a known key; known: column, expect, max_value, min_value."),
        ({"min_value": None}, "expectations.0: needs a min_value or a max_value."),
        ({"max_value": 1}, "expectations.0: min_value 20 is above max_value 1."),
    ],
)
def test_an_expectation_that_is_none_is_refused(refusal: Callable[..., str], wrong: dict, sentence: str) -> None:
    one = {"expect": "expect_column_mean_to_be_between", "column": "characters", "min_value": 20} | wrong
    said = refusal("dataset", "validation", value={"expectations": [one]})
    assert said.startswith("dataset.validation.expectations.0")
    assert said.endswith(sentence)


def test_key_far_from_any_is_answered_with_the_known_ones(refusal: Callable[..., str]) -> None:
    sentence = refusal("zzzz", value=1)
    assert sentence.startswith("zzzz is not a known key; known: ")
    assert "training" in sentence


def test_bad_gate_metric_names_the_choices(refusal: Callable[..., str]) -> None:
    sentence = refusal("gates", 0, "metric", value="nnl")
    assert sentence.startswith("gates.0.metric: should be nll or ")
    assert sentence.endswith("not 'nnl'; did you mean nll?")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({}, ".0: asks for nothing; give it must_contain, must_not_contain or must_decline."),
        ({"must_contain": ["$"]}, ".0: '$' has no word or number to look for."),
        (
            {"must_decline": True, "name": "50/50?"},
            ".50/50?.name: '50/50?' should match ^([A-Za-z0-9][A-Za-z0-9_.\\- ]*)?$.",
        ),
        (
            {"must_decline": True, "question": "屋根?"},
            ".0: needs a name of Latin letters, since its question has none.",
        ),
        ({"must_decline": True, "name": "two"}, ": two edge cases are called 'two'; give each a name of its own."),
    ],
)
def test_an_edge_case_that_is_none_is_refused(refusal: Callable[..., str], wrong: dict, sentence: str) -> None:
    cases = [{"question": "Is it safe?"} | wrong, {"question": "Two?", "must_decline": True}]
    assert refusal("edge_cases", value=cases) == f"edge_cases{sentence}"


def test_an_edge_case_without_a_name_is_called_by_its_question() -> None:
    case = EdgeCaseConfig(
        question="Who pays for hail, and who for wind or for age and neglect of a house?", must_decline=True
    )
    assert case.called == "who pays for hail and who for wind or for age and neglect"
    assert EdgeCaseConfig(question="Who pays?", must_decline=True).called == "who pays"


def test_bad_pattern_of_a_rewrite_is_refused(refusal: Callable[..., str]) -> None:
    assert "is not a regular expression" in refusal("domain", "rewrites", 0, "pattern", value="(")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("model: [", "line 1: not valid YAML"),
        ("model: x\n\tdescription: y\n", "line 2: not valid YAML"),
        ("model: x\nmodel: y\n", "line 2: not valid YAML: the key 'model' is given twice."),
        ("model: !!python/object:os.system x\n", "line 1: not valid YAML"),
        ("", "should be a mapping of keys to values."),
        ("- a\n", "should be a mapping of keys to values."),
    ],
)
def test_broken_file_is_refused_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        config.load_file(path)
    assert fault in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "roofing.yaml").write_bytes(b"model: caf\xe9\n")
    with pytest.raises(UserError, match=r"roofing.yaml: can't be read"):
        config.load_model("roofing", tmp_path)


def test_broken_file_harms_no_other(tmp_path: Path, roofing: dict[str, Any]) -> None:
    _write(tmp_path, roofing)
    _write(tmp_path, "model: [", "broken")
    assert config.load_model("roofing", tmp_path).model == "roofing"
    with pytest.raises(UserError, match=r"broken.yaml: line 1"):
        config.load_model("broken", tmp_path)


def test_two_files_with_one_name_are_refused(tmp_path: Path, roofing: dict[str, Any]) -> None:
    first, second = _write(tmp_path, roofing, "a"), _write(tmp_path, roofing, "b")
    for path in (first, second):
        with pytest.raises(UserError) as caught:
            config.load_file(path)
        assert (
            str(caught.value) == f"{second}: model: 'roofing' is taken by {first}; give each model a name of its own."
        )


def test_unknown_model_is_answered_with_the_known_ones(tmp_path: Path, roofing: dict[str, Any]) -> None:
    _write(tmp_path, roofing | {"model": "slate"})
    with pytest.raises(UserError, match=r"roofing\.yaml has model: slate, set it to roofing; known: slate\."):
        config.load_model("roofing", tmp_path)


def test_environment_fills_a_value_and_a_default_stands_in(
    tmp_path: Path, roofing: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, roofing | {"description": "for ${WHOM} in ${PLACE:-Bonn}"})
    monkeypatch.delenv("WHOM", raising=False)
    with pytest.raises(UserError, match=r"\$\{WHOM\} is not set in the environment"):
        config.load_model("roofing", tmp_path)
    monkeypatch.setenv("WHOM", "roofers: {x}")
    assert config.load_model("roofing", tmp_path).description == "for roofers: {x} in Bonn"


def test_a_value_from_the_environment_is_not_shown_in_an_error(
    tmp_path: Path, roofing: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_OF_SITE", "hunter2-very-secret")
    source = roofing["sources"][0] | {"start": ["${PASSWORD_OF_SITE}"]}
    _write(tmp_path, roofing | {"sources": [source]})
    with pytest.raises(UserError, match=r"\$\{PASSWORD_OF_SITE\}") as caught:
        config.load_model("roofing", tmp_path)
    assert "hunter2" not in str(caught.value)


def test_folder_is_taken_from_the_environment(
    tmp_path: Path, roofing: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOVEREIGN_CONFIG", str(tmp_path))
    _write(tmp_path, roofing | {"model": "slate"}, "slate")
    assert config.load_model("slate").model == "slate"
    assert config.load_platform() == config.PlatformConfig()


def test_platform_timezone_is_checked(tmp_path: Path) -> None:
    _write(tmp_path, {"timezone": "Europe/Berlin"}, "platform")
    assert str(config.load_platform(tmp_path).zone()) == "Europe/Berlin"
    _write(tmp_path, {"timezone": "Europe/Berlim"}, "platform")
    with pytest.raises(UserError, match=r"platform.yaml: timezone: .* did you mean Europe/Berlin\?"):
        config.load_platform(tmp_path)


def test_hash_sees_settings_and_not_their_writing(tmp_path: Path, roofing: dict[str, Any]) -> None:
    before = config.config_hash(config.load_file(ROOFING))
    reordered = config.load_file(_write(tmp_path, dict(reversed(roofing.items()))))
    assert config.config_hash(reordered) == before
    changed = config.load_file(_write(tmp_path, roofing | {"description": "Another"}))
    assert config.config_hash(changed) != before


def test_every_example_of_a_source_in_the_docs_is_one() -> None:
    page = (config.PROJECT / "docs" / "add-a-source.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    found = [block["sources"] if isinstance(block, dict) and "sources" in block else block for block in blocks]
    sources = [source for block in found if isinstance(block, list) for source in block]
    kinds = {source["kind"] for source in sources}
    assert kinds == {*KINDS, "notices"}
    for source in sources:
        if source["kind"] in KINDS:
            assert SourceConfig.model_validate(source).kind == source["kind"]
