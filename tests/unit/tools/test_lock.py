"""tools/lock.py: the lock holds all that was chosen, and leaves torch's own packages to torch."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LOCK = runpy.run_path(str(ROOT / "tools" / "lock.py"))


def test_all_that_was_chosen_is_locked() -> None:
    wanted, locked = (
        {LOCK["canonicalize_name"](one.name) for one in LOCK["_requirements"](ROOT / name)}
        for name in ("requirements.in", "requirements.txt")
    )
    assert wanted <= locked


def test_what_torch_pins_is_left_to_it_and_what_we_chose_is_not() -> None:
    packages = [
        {"name": "torch", "version": "2.13.0+cu130", "requires_dist": ["nvidia-cublas==13.0; extra == ''", "triton"]},
        {"name": "nvidia-cublas", "version": "13.0"},
        {"name": "triton", "version": "3.7"},
        {"name": "nvidia-ml-py", "version": "13.615.71"},
    ]
    lines = [line.split("#")[0].strip() for line in LOCK["_lines"](packages, {"torch", "nvidia-ml-py"})]
    assert lines == ["nvidia-ml-py==13.615.71", "torch==2.13.0"]
