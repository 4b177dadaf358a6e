"""Shared makers of raw items and documents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from sovereign_tasks.config import ModelConfig
from sovereign_tasks.records import Document, RawItem

NOW = datetime(2030, 1, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVEREIGN_KEY", "ab" * 32)


@pytest.fixture
def config() -> ModelConfig:
    return ModelConfig.model_validate(
        {
            "model": "roofing",
            "description": "d",
            "sources": [
                {"name": "site", "kind": "web", "start": ["https://a.example/"], "licence": "owner", "consent": "own"},
                {
                    "name": "forum",
                    "kind": "reddit",
                    "subreddits": ["R"],
                    "agreement": "a licence of 2026",
                    "licence": "o",
                    "consent": "c",
                },
            ],
            "domain": {
                "keywords": ["roof", "shingle", "gutter", "standing seam"],
                "rewrites": [
                    {
                        "pattern": r"(?<=\d)\s*sq\.?\s?ft\.?(?!\w)",
                        "replace": " square feet",
                        "examples": {"9 sq ft": "9 square feet"},
                    },
                    {
                        "pattern": r"\$(\d{1,3})k(?!\w)",
                        "replace": r"$\1,000",
                        "examples": {"$12k": "$12,000", "$12kg": "$12kg"},
                    },
                ],
            },
        }
    )


@pytest.fixture
def item() -> Callable[..., RawItem]:
    def make(body: str | bytes, **fields: Any) -> RawItem:
        defaults: dict[str, Any] = {
            "source": "site",
            "kind": "page",
            "address": "https://a.example/p",
            "item": "",
            "group": "g",
            "parent": "",
            "body": body.encode() if isinstance(body, str) else body,
            "media_type": "text/markdown",
            "headers": "{}",
            "title": "",
            "author": "",
            "score": None,
            "created_at": None,
            "fetched_at": NOW,
            "licence": "owner",
            "consent": "own",
            "digest": "",
        }
        return RawItem(**{**defaults, **fields})

    return make


@pytest.fixture
def document() -> Callable[..., Document]:
    def make(doc_id: str, text: str, **fields: Any) -> Document:
        defaults: dict[str, Any] = {
            "doc_id": doc_id,
            "revision": "r",
            "source": "site",
            "kind": "page",
            "url": "u",
            "group": doc_id,
            "item": doc_id,
            "parent": "",
            "title": "",
            "text": text,
            "author": "",
            "score": None,
            "created_at": None,
            "added_at": NOW,
            "language": "en",
            "language_confidence": 1.0,
            "quality": 1.0,
            "relevance": 1.0,
            "pii": "{}",
            "licence": "o",
            "consent": "c",
        }
        return Document(**{**defaults, **fields})

    return make
