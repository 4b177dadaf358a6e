"""Reading a YAML file into a strict model, and saying in one sentence what is wrong with it.

`${NAME}` and `${NAME:-default}` in a string are taken from the environment, so secrets stay out of YAML.
"""

from __future__ import annotations

import difflib
import os
import re
import typing
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from sovereign_tasks.errors import UserError

T = TypeVar("T", bound="StrictConfig")
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z][A-Z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_TELLING = 6  # characters from which a value is taken for a secret; a shorter one may be part of any word
_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a block of keys",
    "model_type": "a block of keys",
    "model_attributes_type": "a block of keys",
}


class StrictConfig(BaseModel):
    """A block of YAML that admits only the keys it knows and the types it states."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @classmethod
    def variant(cls, data: Mapping[str, Any], context: Any) -> type[StrictConfig]:
        """The class that such data is validated by, where there are several."""
        return cls


def read_yaml(path: Path) -> Any:
    """What a YAML file holds, unchecked; a `UserError` for a broken or unreadable file or a key given twice."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        raise UserError(f"{path}:{where} not valid YAML: {getattr(e, 'problem', None) or e}.") from None
    except (OSError, ValueError) as e:
        raise UserError(f"{path}: can't be read: {e}.") from None


def parse(path: Path, kind: type[T], context: Any = None, *, variables: bool = True) -> T:
    """The file as a `kind`; a `UserError` that names the file and each key that is wrong.

    `context` is handed to the validators. Without `variables` nothing is taken from the environment.
    """
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: should be a mapping of keys to values.")
    try:
        return kind.model_validate(_substitute(data, path) if variables else data, context=context)
    except ValidationError as e:
        faults = _without_values("; ".join(_explain(error, kind, data, context) for error in e.errors()), data)
        raise UserError(f"{path}: {faults}" + ("" if faults.endswith("?") else ".")) from None


def patterns(texts: list[str]) -> list[str]:
    """The texts, if each is a regular expression; else a `ValueError`. For field validators."""
    for text in texts:
        try:
            re.compile(text)
        except re.error as e:
            raise ValueError(f"{text!r} is not a regular expression: {e}") from None
    return texts


class _Loader(yaml.SafeLoader):
    """PyYAML lets the last of two equal keys win without a word; this refuses them. And it reads 1e-4 as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping, once its keys are seen to be distinct."""
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value if isinstance(key.value, str) else id(key))
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(  # as YAML 1.2 and JSON have it; PyYAML's 1.1 wants 1.0e-4
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _substitute(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        return {k: _substitute(v, path) for k, v in value.items()}
    if isinstance(value, list):
        return [_substitute(v, path) for v in value]
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name not in os.environ and default is None:
            raise UserError(f"{path}: ${{{name}}} is not set in the environment; set it or give a default.")
        return os.environ.get(name, default)

    return _VARIABLE.sub(lookup, value)


def _without_values(message: str, data: Any) -> str:
    """The message with variables by their names: a value from the environment may be a secret."""
    for match in _VARIABLE.finditer(str(data)):
        if len(value := os.environ.get(match["name"], "")) >= _TELLING:
            message = message.replace(value, f"${{{match['name']}}}")
    return message


def _explain(error: dict[str, Any], kind: type[StrictConfig], data: Any, context: Any) -> str:
    """One clause: the key's path, what is wrong, and the nearest right thing."""
    where, block = _locate(error["loc"], kind, data, context)
    got, code, context = error.get("input"), error["type"], error.get("ctx", {})
    if code == "extra_forbidden":
        keys = sorted(block.model_fields) if block else []
        return f"{where} is not a known key; " + (_nearest(where.split(".")[-1], keys) or f"known: {', '.join(keys)}")
    if code == "missing":
        return f"{where} is missing"
    if code == "literal_error":
        return f"{where}: {_choice(got, re.findall(chr(39) + '(.*?)' + chr(39), context['expected']))}"
    if code == "invalid_key":
        return f"{where} is not a known key; keys are text"
    if code in _WANTED:
        return f"{where}: should be {_WANTED[code]}, {_shown(got)}"
    if code == "too_short":
        return f"{where}: needs at least {context['min_length']} entry"
    if code == "string_pattern_mismatch":
        return f"{where}: {got!r} should match {context['pattern']}"
    message = re.sub(r"^(Value error, |Input )", "", error["msg"])
    return f"{where}: {message}" + (f", not {got!r}" if message.startswith("should") else "")


def _locate(steps: tuple[str | int, ...], kind: Any, data: Any, context: Any) -> tuple[str, type[BaseModel] | None]:
    """The path in the words of the file (entries of a list by their name), and the block that holds its end."""
    shown: list[str] = []
    block: Any = kind
    holder = _model(block, None, context)
    for step in steps:
        value = data
        if isinstance(data, dict):
            value = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            value = data[step]
        name = value.get("name") if isinstance(step, int) and isinstance(value, dict) else None
        shown.append(str(name or step))
        holder = _model(block, data, context)
        if holder and step in holder.model_fields:
            block = holder.model_fields[str(step)].annotation
        data = value
    return ".".join(shown), holder


def _model(annotation: Any, data: Any, context: Any) -> type[BaseModel] | None:
    """The model in an annotation; where there are several, the one for this data."""
    found = next(_models(annotation), None)
    if not (found and isinstance(data, dict) and issubclass(found, StrictConfig)):
        return found
    try:
        return found.variant(data, context)
    except ValidationError:  # that is the error to tell
        return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


def _choice(got: Any, known: list[str]) -> str:
    near = _nearest(str(got), known)
    return f"should be {' or '.join(known)}, {_shown(got)}" + (f"; {near}" if near else "")


def _shown(got: Any) -> str:
    if got is None:
        return "but is empty"
    if isinstance(got, dict | list):
        return f"not a {'block of keys' if isinstance(got, dict) else 'list'}"
    return f"not {got!r}" if isinstance(got, str | bool | int | float) else f"not {got}"
