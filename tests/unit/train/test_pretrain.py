"""A base from scratch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sovereign_tasks.causal_lm import hash_folder, load_base, load_tokenizer
from sovereign_tasks.errors import UserError
from sovereign_tasks.train.pretrain import make_base


def test_it_learns_and_says_where_it_comes_from(tiny_base: Path, domain) -> None:
    origin = json.loads((tiny_base / "origin.json").read_text())
    for kind in ("domain", "general"):
        assert origin["perplexity"][kind]["after"] < 0.7 * origin["perplexity"][kind]["before"]
    assert origin["documents"] == len(set(domain.documents))
    assert origin["hash"] == hash_folder(tiny_base)
    assert {p.suffix for p in tiny_base.iterdir()} <= {".json", ".jinja", ".safetensors"}
    assert not any(text in (tiny_base / "origin.json").read_text() for text in domain.documents)


def test_the_same_text_gives_the_same_base_in_any_order(tiny_base: Path, domain, tuning, tmp_path) -> None:
    steps: list[tuple[int, int]] = []
    report = make_base(
        domain.documents[::-1],
        tuning.scratch,
        tmp_path / "again",
        seed=1,
        progress=lambda step, of, loss: steps.append((step, of)),
    )
    assert report["hash"] == hash_folder(tiny_base)
    assert steps == [(i, 30) for i in range(1, 31)]


def test_a_base_that_is_there_is_kept_and_never_replaced(tiny_base: Path, domain, tuning) -> None:
    before = (tiny_base / "model.safetensors").stat().st_mtime_ns
    kept = make_base(domain.documents, tuning.scratch, tiny_base, seed=1)
    assert kept == json.loads((tiny_base / "origin.json").read_text())
    with pytest.raises(UserError, match="holds a base of other text or settings"):
        make_base(domain.documents[1:], tuning.scratch, tiny_base, seed=1)
    assert (tiny_base / "model.safetensors").stat().st_mtime_ns == before


def test_an_interrupted_one_leaves_no_base(domain, tuning, tmp_path: Path) -> None:
    def stop(step: int, of: int, loss: float) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "bases" / "b"
    with pytest.raises(KeyboardInterrupt):
        make_base(domain.documents, tuning.scratch, folder, seed=1, progress=stop)
    assert not folder.exists()
    assert [path.suffix for path in folder.parent.iterdir()] == [".unfinished"]


def test_its_tokenizer_keeps_every_character_and_single_digits(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(tiny_base)
    text = "Café: 1,200 m² 屋根 🙂\n\n\tEnd "
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer("7412")["input_ids"]) == 4
    assert load_base(tiny_base)[0].config.tie_word_embeddings


def test_wrong_settings_and_empty_text_are_sentences(tuning, tmp_path: Path) -> None:
    odd = tuning.scratch.model_copy(update={"heads": 3})
    with pytest.raises(UserError, match=r"heads \(3\) must divide hidden \(64\)"):
        make_base(["text"], odd, tmp_path / "b", seed=1)
    with pytest.raises(UserError, match="empty"):
        make_base([], tuning.scratch, tmp_path / "b", seed=1)
