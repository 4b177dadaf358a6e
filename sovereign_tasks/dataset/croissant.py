"""A dataset folder described in Croissant 1.0 (JSON-LD): its files by hash, and the columns of each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sovereign_tasks.dataset.folder import File

VERSION = "http://mlcommons.org/croissant/1.0"
_TERMS = """citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes isLiveDataset
jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source subField
transform"""
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS.split()},
}
_TURN = ("role", "content")
_WORDS = {
    "kind": "the form it was found in",
    "label": "its place in the taxonomy; empty where it has none",
    "source": "the source it comes from",
    "licence": "licence of the documents it rests on",
    "consent": "basis on which it may be learned from",
    "language": "ISO 639-1 code",
    "dated": "when the answer was last known to be so",
    "doc_ids": "keyed hashes of the documents it rests on",
    "example_id": "keyed hash of the example",
}


def describe(
    name: str,
    description: str,
    *,
    number: int,
    creator: str,
    published: datetime,
    address: str,
    licences: Sequence[str],
    files: Mapping[str, Sequence[File]],
) -> dict[str, Any]:
    """The description of a folder, whose Parquet files are given by split."""
    every = [file for split in files.values() for file in split]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": name,
        "description": description,
        "version": f"{number}.0.0",
        "license": list(licences),
        "url": address,
        "creator": {"@type": "sc:Organization", "name": creator},
        "datePublished": published.isoformat(),
        "distribution": [*map(_file_object, every), *(_file_set(split) for split in files)],
        "recordSet": [_record_set(split) for split in files],
    }


def _file_object(file: File) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": file.sha256,
    }


def _file_set(split: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"files-of-{split}",
        "name": f"files-of-{split}",
        "encodingFormat": "application/x-parquet",
        "includes": f"data/{split}-*.parquet",
    }


def _record_set(split: str) -> dict[str, Any]:
    turn = [_field(split, f"messages/{key}", f"{key} of each turn", "messages", jsonPath=key) for key in _TURN]
    messages = {"@type": "cr:Field", **_named(split, "messages", "the turns of the chat"), "repeated": True}
    others = [_field(split, column, words, column) for column, words in _WORDS.items()]
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "field": [messages | {"subField": turn}, *others],
    }


def _field(split: str, name: str, words: str, column: str, **transform: str) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": f"files-of-{split}"}, "extract": {"column": column}}
    return {
        "@type": "cr:Field",
        **_named(split, name, words),
        "dataType": "sc:DateTime" if column == "dated" else "sc:Text",
        "source": source | ({"transform": transform} if transform else {}),
        **({"repeated": True} if column == "doc_ids" else {}),
    }


def _named(split: str, name: str, words: str) -> dict[str, str]:
    return {"@id": f"{split}/{name}", "name": name, "description": words}
