"""What this machine has for a training: free memory, speed and power, and the software that uses them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from sovereign_tasks.errors import UserError
from sovereign_tasks.training_config import TrainingConfig

PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "A40": 150e12,
    "RTX A6000": 155e12,
    "A10G": 70e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "RTX 6000 Ada": 364e12,
    "RTX 5090": 209e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "T4": 65e12,
}
"""Dense 16-bit floating-point operations a second, added up in fp32, from the makers' data sheets; the first name that
a card's own name holds counts."""
PROCESSOR_SIDE, CARD_SIDE = 1024, 4096
"""Of the square matrices that are multiplied where no data sheet tells."""
TRIES = 5
LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "tokenizers", "safetensors")
DATA_SHEET, MEASURED = "its data sheet", "a multiplication of matrices here"


@dataclass(frozen=True, slots=True)
class Device:
    """Where a training would run: bytes that are free now, floating-point operations a second, watts if known."""

    name: str
    is_gpu: bool
    free: int
    peak: float
    peak_from: str
    watts: float | None = None


def look() -> Device:
    """The first GPU that torch sees, else the processor.

    On a GPU this process holds a CUDA context by now, as a training does: what is free is without it.
    """
    import psutil
    import torch

    from sovereign_tasks.train.tracking import hardware

    name = hardware()
    if not torch.cuda.is_available():
        peak = _multiply("cpu", torch.float32, PROCESSOR_SIDE)
        return Device(name, False, psutil.virtual_memory().available, peak, MEASURED)
    card = torch.cuda.get_device_properties(0)
    free = torch.cuda.mem_get_info(0)[0]
    known = next((peak for one, peak in PEAKS.items() if re.search(rf"\b{one}\b", card.name)), None)
    peak = known or _multiply("cuda", torch.float16, CARD_SIDE)
    return Device(name, True, free, peak, DATA_SHEET if known else MEASURED, _power_limit(f"GPU-{card.uuid}"))


def visible_cards() -> list[str]:
    """The cards that CUDA would show this process, by the names that CUDA_VISIBLE_DEVICES knows; CUDA isn't started."""
    import torch

    count, named = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(card) for card in range(count)]


def check_cards(config: TrainingConfig) -> None:
    """Raise a `UserError` where a training asks for more cards than there are; processes do, unless it is sharded."""
    import torch

    found = torch.cuda.device_count()
    if config.gpus > found > 0:
        raise UserError(f"training.gpus: {config.gpus} cards are asked for, and this machine shows {found}; lower it.")
    if config.sharding == "full" and not found:
        raise UserError("training.sharding: full splits a base over CUDA cards, and there are none; set it to none.")


def _multiply(device: str, dtype: Any, side: int) -> float:
    """Floating-point operations a second of the fastest of a few multiplications."""
    import torch

    left, right = torch.ones(2, side, side, dtype=dtype, device=device)
    seconds = []
    for _ in range(TRIES):
        began = time.perf_counter()
        (left @ right)[0, 0].item()  # which waits for a card
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds)


def software() -> str:
    """The versions that a training's result depends on, one in each line."""
    import torch

    found = {"python": platform.python_version(), "system": platform.platform()}
    found |= {name: version(name) for name in LIBRARIES}
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found |= {"cuda": torch.version.cuda, "driver": _ask_driver(f"GPU-{card.uuid}", "driver_version") or "unknown"}
    return "".join(f"{name} {of}\n" for name, of in found.items())


def _power_limit(card: str) -> float | None:
    """Watts that the driver lets a card draw, if it says so."""
    try:
        return float(_ask_driver(card, "power.limit"))
    except ValueError:
        return None


def _ask_driver(card: str, what: str) -> str:
    """One of nvidia-smi's figures of a card; nothing where that tool is absent or has no answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    query = [tool, f"--id={card}", f"--query-gpu={what}", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (subprocess.SubprocessError, OSError):
        return ""
