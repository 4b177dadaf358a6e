"""The direction of imports and a few forbidden words, read from the source alone (nothing is imported here)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "sovereign_tasks"
ROOMS = {"collect", "curate", "dataset", "train", "evaluate", "serve", "demo"}
COMPOSERS = {"stages"}
HEAVY = {"torch", "transformers", "peft", "mlflow", "great_expectations", "datasets", "trafilatura", "bitsandbytes"}
HEAVY |= {"lm_eval"}
# What may be imported by whom, at any depth of a module: package -> the places below sovereign_tasks.
ONLY_IN = {
    "airflow": (),
    "deltalake": ("store",),
    "sqlalchemy": ("ledger",),
    "mlflow": ("train.tracking", "train.registry", "train.system_metrics", "promote"),
    "lm_eval": ("evaluate.tasks",),
    **dict.fromkeys(("imapclient", "imaplib", "feedparser", "warcio"), ("collect",)),
    **dict.fromkeys(
        ("requests", "urllib3", "praw", "prawcore", "socket", "http.client", "httpx", "urllib.request"),
        ("collect", "platform", "demo", "train.tracking", "promote", "endpoint"),
    ),
}
OUTER = {"dags", "plugins", "sovereign_plugin", "sovereign_ui"}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
DAGS_MAY_USE = {"stages", "config", "training_config", "errors"}
PAGES_MAY_USE = DAGS_MAY_USE | {"gate_words", "ledger", "store", "records", "platform"}


@dataclass(frozen=True)
class Import:
    """One imported name, dotted in full, and whether importing the module runs it."""

    name: str
    line: int
    at_load: bool


def imports(tree: ast.Module, module: str) -> Iterator[Import]:
    """All imports of a module; `from a import b` gives a.b, and what only type checkers read is left out."""
    for node, at_load in _walk(tree, True):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, at_load) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parents, node.module] if node.module else parents)
            yield from (Import(f"{base}.{alias.name}", node.lineno, at_load) for alias in node.names)


def _walk(node: ast.AST, at_load: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        yield child, at_load
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, at_load and not inside)


def below(name: str, package: str) -> bool:
    """Whether a dotted name is a package or something in it."""
    return name == package or name.startswith(f"{package}.")


def faults(source: str, module: str) -> list[str]:
    """What a module of this dotted name does that the rules forbid."""
    tree = ast.parse(source)
    found = [fault for one in imports(tree, module) for fault in _import_faults(module, one)]
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code" and _true(node.value):
            found.append(f"{module}:{node.value.lineno} trusts code that comes with a model")
    return found


def _true(value: ast.expr) -> bool:
    return not (isinstance(value, ast.Constant) and value.value is False)


def _import_faults(module: str, one: Import) -> Iterator[str]:
    where = f"{module}:{one.line} imports {one.name}"
    if one.name.split(".")[0] in PICKLES:
        yield f"{where}: pickles run code"
    place = module.removeprefix(f"{PACKAGE}.")
    if below(module, PACKAGE) or not below(one.name, "airflow"):
        for package, places in ONLY_IN.items():
            if below(one.name, package) and not any(below(place, allowed) for allowed in places):
                yield f"{where}: only {', '.join(places) or 'dags/ and plugins/'} may"
    if below(module, PACKAGE):
        if one.name.split(".")[0] in OUTER:
            yield f"{where}: nothing looks up to the DAGs or the pages"
        elif below(one.name, PACKAGE):
            yield from _inner_faults(place.split(".")[0], one.name.removeprefix(f"{PACKAGE}.").split(".")[0], where)
    elif below(one.name, PACKAGE):
        allowed = DAGS_MAY_USE if below(module, "dags") else PAGES_MAY_USE
        if "".join(one.name.split(".")[1:2]) not in allowed:
            yield f"{where}: {module.split('.')[0]} uses only {', '.join(sorted(allowed))}"


def _inner_faults(room: str, target: str, where: str) -> Iterator[str]:
    if room in ROOMS and target in ROOMS - {room}:
        yield f"{where}: rooms do not know each other"
    if target in ROOMS and room not in ROOMS | COMPOSERS:
        yield f"{where}: only stages/ composes rooms"
    if room in ROOMS and target in {"stages", "platform", "terminal", "__main__"}:
        yield f"{where}: a room does not look up"


def _modules() -> dict[str, Path]:
    """Our modules by dotted name; plugins/ is itself on the path, as Airflow puts it there."""
    found = {}
    for folder, start in ((PACKAGE, ROOT), ("dags", ROOT), ("plugins", ROOT / "plugins")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found[".".join(path.relative_to(start).with_suffix("").parts).removesuffix(".__init__")] = path
    return found


MODULES = _modules()


@pytest.mark.parametrize("module", MODULES)
def test_module_keeps_the_rules(module: str) -> None:
    assert faults(MODULES[module].read_text(encoding="utf-8"), _dotted(module)) == []


def _dotted(module: str) -> str:
    """A package's own file resolves `from .x` within the package, as its modules do."""
    return f"{module}.__init__" if MODULES[module].name == "__init__.py" else module


def heavy_at_load(start: str, sources: dict[str, str]) -> list[str]:
    """The chains by which importing `start` would load a heavy package."""
    found, chains = [], [[start]]
    seen = {start}
    while chains:
        chain = chains.pop()
        for one in imports(ast.parse(sources[chain[-1]]), chain[-1]):
            if not one.at_load:
                continue
            if one.name.split(".")[0] in HEAVY:
                found.append(" -> ".join([*chain, one.name]))
            parts = one.name.split(".")
            # Importing a.b.c runs a, a.b and, where it is a module and not a name in one, a.b.c.
            for reached in (".".join(parts[:n]) for n in range(1, len(parts) + 1)):
                if reached in sources and reached not in seen:
                    seen.add(reached)
                    chains.append([*chain, reached])
    return found


@pytest.mark.parametrize("module", [name for name in MODULES if not below(name, PACKAGE)])
def test_nothing_heavy_is_loaded_when_dags_are_parsed(module: str) -> None:
    sources = {name: path.read_text(encoding="utf-8") for name, path in MODULES.items()}
    assert heavy_at_load(module, sources) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("sovereign_tasks.store", "import airflow"),
        ("sovereign_tasks.stages.build", "def f():\n    from airflow.sdk import dag"),
        ("sovereign_tasks.train.due", "from sovereign_tasks.curate import pii"),
        ("sovereign_tasks.train.due", "from ..curate.pii import find"),
        ("sovereign_tasks.store", "from sovereign_tasks.collect import web"),
        ("sovereign_tasks.platform.embedded", "from sovereign_tasks.demo.site import serve"),
        ("sovereign_tasks.collect.web", "from sovereign_tasks import stages"),
        ("sovereign_tasks.curate.pii", "import requests"),
        ("sovereign_tasks.evaluate.pairwise", "import requests"),
        ("sovereign_tasks.serve.ask", "from http import client"),
        ("sovereign_tasks.stages.build", "import deltalake"),
        ("sovereign_tasks.store", "import sqlalchemy as sa"),
        ("sovereign_tasks.train.qlora", "def f():\n    import mlflow.pyfunc"),
        ("sovereign_tasks.evaluate.score", "import pickle"),
        ("sovereign_tasks.causal_lm", "load(path, trust_remote_code=True)"),
        ("sovereign_tasks.stages.build", "import dags.retrain"),
        ("dags.retrain", "from sovereign_tasks.ledger import open_ledger"),
        ("dags.retrain", "import sovereign_tasks"),
        ("sovereign_ui.pages", "from sovereign_tasks.evaluate import gates"),
        ("sovereign_ui.pages", "import mlflow"),
    ],
)
def test_a_bad_module_is_found(module: str, source: str) -> None:
    assert faults(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("sovereign_tasks.stages.build", "from sovereign_tasks.curate import pii"),
        ("sovereign_tasks.train.tracking", "import mlflow"),
        ("sovereign_tasks.collect.fetch", "import requests"),
        ("sovereign_tasks.endpoint", "import requests"),
        ("sovereign_tasks.causal_lm", "load(path, trust_remote_code=False)"),
        ("dags.retrain", "from airflow.sdk import dag\nfrom sovereign_tasks import config, stages"),
        ("sovereign_tasks.store", "if TYPE_CHECKING:\n    import airflow"),
    ],
)
def test_a_good_module_passes(module: str, source: str) -> None:
    assert faults(source, module) == []


def test_a_heavy_import_is_found_through_others() -> None:
    sources = {
        "dags.retrain": "from sovereign_tasks import stages",
        "sovereign_tasks": "",
        "sovereign_tasks.stages": "from sovereign_tasks.train import qlora\ndef f():\n    import peft",
        "sovereign_tasks.train": "",
        "sovereign_tasks.train.qlora": "class A:\n    import torch.nn",
    }
    assert heavy_at_load("dags.retrain", sources) == [
        "dags.retrain -> sovereign_tasks.stages -> sovereign_tasks.train.qlora -> torch.nn"
    ]
    sources["sovereign_tasks.train.qlora"] = "def f():\n    import torch"
    assert heavy_at_load("dags.retrain", sources) == []
