"""Data sets of Hugging Face that were fetched before, from this machine's cache alone."""

from __future__ import annotations

import os
from pathlib import Path

from sovereign_tasks.errors import UserError

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
_SAVED = "dataset_dict.json"


def snapshot(source: str, name: str, revision: str) -> Path:
    """The folder with a data set's files as they were fetched; a `UserError` that says how to fetch it."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, repo_type="dataset", revision=revision, local_files_only=True))
    except HFValidationError:
        raise UserError(f"source {source}: id: {name!r} is no name of a data set; correct it.") from None
    except LocalEntryNotFoundError:
        at = "" if revision == "main" else f" --revision {revision}"
        raise UserError(
            f"source {source}: id: {name} ({revision}) is not in {constants.HF_HUB_CACHE}; fetch it once with "
            f"HF_HUB_OFFLINE=0 hf download {name} --repo-type dataset{at} --cache-dir {constants.HF_HUB_CACHE}"
        ) from None


def files_of_split(source: str, folder: Path, split: str, files: dict[str, Path]) -> dict[str, Path]:
    """Those of a data set's files that belong to a split, by its own card or the names of its files.

    A `UserError` that names the splits there are.
    """
    if (folder / _SAVED).is_file():
        splits = sorted({address.partition("/")[0] for address in files})
        chosen = {address: path for address, path in files.items() if address.startswith(f"{split}/")}
    else:
        splits, paths = _named_splits(folder, split)
        chosen = {address: path for address, path in files.items() if path.resolve() in paths}
    if not chosen:
        there = ", ".join(splits) or "none"
        raise UserError(f"source {source}: split: {folder} has no files of {split!r}; there are: {there}.")
    return chosen


def _named_splits(folder: Path, split: str) -> tuple[list[str], set[Path]]:
    import datasets

    if not folder.is_dir():
        return [], set()
    try:
        found = datasets.load_dataset_builder(str(folder)).config.data_files or {}
    except (datasets.exceptions.DatasetsError, OSError, ValueError):
        return [], set()
    return [str(name) for name in found], {Path(path).resolve() for path in found.get(split, [])}
