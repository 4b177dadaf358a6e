"""What every source states, and the kinds there are: a kind is one module and one line here or in platform.yaml.

A kind's module holds its settings, a subclass of `SourceConfig`, and `collect(source, night)`, which gives the
`Night` of collect/night.py what is new and returns the cursor for the next one.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, ValidationInfo, model_validator

from sovereign_tasks.strict_yaml import StrictConfig

NAME = r"^[a-z][a-z0-9_-]{0,39}$"
Profile = Literal["page", "forum", "mail", "document", "qa"]

KINDS = {
    "web": "sovereign_tasks.collect.web:WebSource",
    "feed": "sovereign_tasks.collect.feed:FeedSource",
    "reddit": "sovereign_tasks.collect.reddit:RedditSource",
    "files": "sovereign_tasks.collect.files:FilesSource",
    "mail": "sovereign_tasks.collect.mail:MailSource",
    "table": "sovereign_tasks.collect.table:TableSource",
    "export": "sovereign_tasks.collect.export:ExportSource",
    "dataset": "sovereign_tasks.collect.dataset:DatasetSource",
    "warc": "sovereign_tasks.collect.warc:WarcSource",
}


class SourceConfig(StrictConfig):
    """What every source states: where its knowledge comes from and on what terms it may be used."""

    name: str = Field(pattern=NAME)
    """Name of the source; part of every document's identity, so never reuse or change it."""
    kind: str
    """Kind of source, which decides the other keys."""
    licence: str = Field(min_length=1)
    """Licence of the material, e.g. owner, CC-BY-4.0."""
    consent: str = Field(min_length=1)
    """Basis on which it may be learned from, e.g. own-content, public-web, contract."""
    enabled: bool = True
    """Whether nights collect from it."""
    priority: int = 0
    """Of near-duplicates in one night, the copy from the source with the higher priority stays."""
    profile: Profile = "page"
    """Quality thresholds that suit this kind of writing."""
    max_alike: int = Field(50, ge=1)
    """Near-equal items that one night may bring; a larger flood of them is held for review."""
    retention_days: int | None = Field(None, ge=1)
    """Days to keep its raw bytes; curation.retention_days where it is left out."""
    max_age_days: int | None = Field(None, ge=1)
    """Days after which what it says is no longer learned from; left out: never."""

    @model_validator(mode="wrap")
    @classmethod
    def _by_kind(cls, data: Any, handler: ModelWrapValidatorHandler, info: ValidationInfo) -> SourceConfig:
        if cls is not SourceConfig or not isinstance(data, dict):
            return handler(data)
        return cls.variant(data, info.context).model_validate(data, context=info.context)

    @classmethod
    def variant(cls, data: Mapping[str, Any], context: Mapping[str, str] | None) -> type[SourceConfig]:
        """The settings of the kind that `data` states; `context` holds the owner's own kinds."""
        kinds = KINDS | dict(context or {})
        if "kind" not in data:
            raise _fault({"type": "missing", "loc": ("kind",), "input": data})
        if not isinstance(data["kind"], str):
            raise _fault({"type": "string_type", "loc": ("kind",), "input": data["kind"]})
        if data["kind"] not in kinds:
            expected = " or ".join(repr(kind) for kind in kinds)
            raise _fault(
                {"type": "literal_error", "loc": ("kind",), "input": data["kind"], "ctx": {"expected": expected}}
            )
        return settings_of(data["kind"], kinds[data["kind"]])


def _fault(error: Any) -> ValidationError:
    return ValidationError.from_exception_data("source", [error])


def settings_of(kind: str, where: str) -> type[SourceConfig]:
    """The settings of a kind, from `package.module:Class`; a `ValueError` where that leads to none."""
    try:
        found = pkgutil.resolve_name(where)
    except Exception as e:  # whatever the module does when it is imported
        said = f"{type(e).__name__}: {e}"
        raise ValueError(f"{kind}: {where!r} can't be imported ({said}); write package.module:Class") from None
    if not (isinstance(found, type) and issubclass(found, SourceConfig)):
        raise ValueError(f"{kind}: {where!r} is no subclass of SourceConfig")
    return found


def any_source() -> Any:
    """The built-in kinds as one type, for the JSON Schema."""
    kinds = tuple(settings_of(kind, where) for kind, where in KINDS.items())
    return Annotated[Union[kinds], Field(discriminator="kind")]  # noqa: UP007 - made from a tuple
