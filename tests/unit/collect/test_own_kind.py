"""The kind of source that docs/add-a-source.md writes: as it stands there, registered as it says, run over nights."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import yaml
from collect_helpers import EMPTY, HOST, ROOT, Reply, after, run

from sovereign_tasks import config
from sovereign_tasks.errors import TransientError, UserError

PAGE = (config.PROJECT / "docs" / "add-a-source.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## A kind of your own") :]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a reader of the page has written: the module, its registration, a model that uses it."""
    (code,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    registration, source = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)[:2])
    (tmp_path / "our_sources").mkdir()
    (tmp_path / "our_sources" / "notices.py").write_text(code)
    (tmp_path / "our_sources" / "broken.py").write_text("class X(:")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "our_sources.notices", raising=False)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "platform.yaml").write_text(yaml.safe_dump(registration))
    model = {"model": "ours", "description": "d", "sources": source, "domain": {"keywords": ["roof"]}}
    (tmp_path / "config" / "ours.yaml").write_text(yaml.safe_dump(model))
    return tmp_path / "config"


def test_the_page_s_own_kind_collects_night_after_night(project: Path, server) -> None:
    assert SECTION[: SECTION.index("```yaml")].count("\n") < 70
    data = yaml.safe_load((project / "ours.yaml").read_text())
    data["sources"][0] |= {"address": f"{ROOT}/notices.json", "connect_to": {HOST: server.address}}
    data["sources"][0]["requests_per_second"] = 1000
    (project / "ours.yaml").write_text(yaml.safe_dump(data))
    source = config.load_model("ours", project).sources[0]

    def publish(**texts: str) -> None:
        notices = [{"id": ident, "title": ident.upper(), "text": text} for ident, text in texts.items()]
        server.replies["/notices.json"] = Reply(json.dumps(notices), headers={"Content-Type": "application/json"})

    publish(a="Ridge vents are back in stock.", b="The price of slate rises in May.")
    first = run(source)
    assert [(i.item, i.title, i.body) for i in first.items] == [
        ("a", "A", b"Ridge vents are back in stock."),
        ("b", "B", b"The price of slate rises in May."),
    ]
    publish(b="The price of slate rises in June.", c="We deliver on Saturdays.")
    state = after(EMPTY, first)
    second = run(source, state)
    assert [i.item for i in second.items] == ["b", "c"]
    assert [(g.item, g.reason) for g in second.gone] == [("a", "withdrawn")]
    assert run(source, after(state, second)).reasons == {"unchanged": 2}
    server.replies["/notices.json"] = Reply(status=404)
    with pytest.raises(TransientError, match="answered 404 without notices"):
        run(source, state)
    for nonsense in ("no JSON", "[]", '[{"id": "a"}]', "17"):
        server.replies["/notices.json"] = Reply(nonsense, headers={"Content-Type": "application/json"})
        with pytest.raises(TransientError, match="answered 200 without notices"):
            run(source, state)


def test_its_settings_are_as_strict_as_any(project: Path) -> None:
    path = project / "ours.yaml"
    path.write_text(path.read_text().replace("address:", "adress:"))
    with pytest.raises(UserError, match=r"sources.supplier.adress is not a known key; did you mean address\?"):
        config.load_model("ours", project)


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("our_sources.nothing:X", "source_kinds: notices: 'our_sources.nothing:X' can't be imported"),
        ("our_sources.broken:X", r"source_kinds: notices: .* can't be imported \(SyntaxError"),
        ("sovereign_tasks.records:RawItem", "source_kinds: notices: .* is no subclass of SourceConfig"),
    ],
)
def test_a_registration_that_leads_nowhere_is_one_sentence(project: Path, where: str, sentence: str) -> None:
    (project / "platform.yaml").write_text(yaml.safe_dump({"source_kinds": {"notices": where}}))
    with pytest.raises(UserError, match=rf"platform.yaml: {sentence}"):
        config.load_model("ours", project)
