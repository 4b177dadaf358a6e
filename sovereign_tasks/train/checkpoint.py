"""All that a pretraining goes on from, in one file that is there whole or not at all.

Weights, the optimizer's moments and torch's generator are safetensors; the rest is JSON in the file's own header.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_tasks.durable import after_write
from sovereign_tasks.errors import TransientError, UserError

if TYPE_CHECKING:
    import numpy as np
    import torch

log = logging.getLogger(__name__)
_MODEL, _OPTIMIZER, _GENERATOR = "model.", "optimizer.", "generator"


def put_in_place(part: Path, path: Path) -> None:
    """Give a written file its name, which is then the whole file's even after a power cut."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    after_write()


def save(
    path: Path,
    step: int,
    losses: list[float],
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    draws: np.random.Generator,
) -> None:
    """Write the state after `step` in place of an earlier one; the rate is a matter of the step alone.

    Raises TransientError when the folder was taken away meanwhile, UserError when nothing can be written to it.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {f"{_MODEL}{name}": parameter.detach() for name, parameter in model.named_parameters()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}{index}.{name}": tensor for name, tensor in moments.items()}
    tensors[_GENERATOR] = torch.get_rng_state()
    rest = {"step": step, "losses": losses, "draws": draws.bit_generator.state}
    saving = path.with_suffix(".saving")  # a folder, since the library writes under names of its own first
    try:
        shutil.rmtree(saving, ignore_errors=True)
        saving.mkdir()
        save_file(tensors, saving / path.name, metadata={"rest": json.dumps(rest)})
        put_in_place(saving / path.name, path)
    except (SafetensorError, OSError) as e:
        if not path.parent.exists():
            raise TransientError("An erasure removed what was made of the base so far; it is begun anew.") from None
        raise UserError(f"{path}: can't be written: {e}; free space or name another state folder.") from None


def load(
    path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, draws: np.random.Generator
) -> tuple[int, list[float]]:
    """Put everything back as it was, and give the step and the losses; (0, []) where there is nothing to go on from."""
    import torch

    if not path.exists() or (found := _read(path)) is None:
        return 0, []
    rest, tensors = found
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"{_MODEL}{name}"])
    moments: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for key, tensor in tensors.items():
        if key.startswith(_OPTIMIZER):
            index, name = key.removeprefix(_OPTIMIZER).split(".")
            moments[int(index)][name] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": dict(moments)})
    torch.set_rng_state(tensors[_GENERATOR])
    draws.bit_generator.state = rest["draws"]
    return rest["step"], rest["losses"]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            keys = file.keys()
            return json.loads(file.metadata()["rest"]), {key: file.get_tensor(key) for key in keys}
    except SafetensorError as e:
        log.warning("%s can't be read (%s): the base is begun anew", path, e)
        return None
