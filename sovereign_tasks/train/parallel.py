"""One training on several cards: a process on each, started and watched from here, that share every update's rows.

The processes speak to each other over loopback alone, and find each other by a file. What they have to tell comes as
lines of JSON; each ends with the process that started it, whatever ended that.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerControl, TrainerState, TrainingArguments

from sovereign_tasks.config import PROJECT
from sovereign_tasks.errors import Paused, TransientError, UserError
from sovereign_tasks.train.callbacks import Watch
from sovereign_tasks.train.tuning import Job, Tuned, tune
from sovereign_tasks.train.window import Window
from sovereign_tasks.training_config import TrainingConfig

CHECK_SECONDS = 1.0  # between two looks at whether the training may go on
REASON_SECONDS = 10.0  # that one of them has to tell why, once another has broken off
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
Message = dict[str, Any]
Tell = Callable[..., None]


def tune_together(job: Job, watch: Watch) -> Tuned | None:
    """Train as `tune` does, on as many cards as the job's settings name; what ends one of them ends all.

    Raises what they raise, `UserError` and `Paused` as such; `TransientError` where one was killed.
    """
    with _processes(job) as inbox:
        return _follow(inbox, watch, job.config.gpus)


# --- the process that starts them ---


@contextmanager
def _processes(job: Job) -> Iterator[queue.Queue[tuple[int, Message]]]:
    """Processes that work at the job, and what they tell, with the number of each; none is left afterwards."""
    meeting = Path(job.work, "meeting")
    meeting.unlink(missing_ok=True)
    count, inbox = job.config.gpus, queue.Queue()
    told = {field.name: getattr(job, field.name) for field in fields(job)}
    told["config"] = job.config.model_dump(mode="json") | {"window": job.config.window}
    request = json.dumps({"job": told, "meeting": str(meeting)}).encode() + b"\n"
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    shared = os.environ | LOOPBACK | {"PYTHONPATH": path, "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    shared.setdefault("OMP_NUM_THREADS", "1")  # each would else take every core
    running: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(count):
            process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            running.append(process)
            threading.Thread(target=_listen, args=(rank, process, inbox), daemon=True).start()
        for process in running:
            with suppress(BrokenPipeError):  # of one that has ended: the listener tells
                process.stdin.write(request)
                process.stdin.flush()
        yield inbox
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()
        meeting.unlink(missing_ok=True)


def _listen(rank: int, process: subprocess.Popen[bytes], inbox: queue.Queue[tuple[int, Message]]) -> None:
    try:
        for line in process.stdout:
            inbox.put((rank, json.loads(line)))
    except ValueError:  # it was killed in mid-line
        pass
    finally:
        inbox.put((rank, {"ended": process.wait()}))


def _follow(inbox: queue.Queue[tuple[int, Message]], watch: Watch, count: int) -> Tuned | None:
    """Pass on what the processes tell until all have ended, or one has told why it can't go on."""
    results: dict[int, Message] = {}
    ended: dict[int, int] = {}
    reasons: dict[int, Exception] = {}
    broken: list[str] = []
    deadline = None
    while len(ended) < count and (deadline is None or time.monotonic() < deadline):
        if watch.check:
            watch.check()
        try:
            rank, message = inbox.get(timeout=CHECK_SECONDS)
        except queue.Empty:
            continue
        match message:
            case {"metrics": (step, values)}:
                if watch.on_metrics:
                    watch.on_metrics(step, values)
            case {"progress": (step, steps, loss)}:
                if watch.progress:
                    watch.progress(step, steps, loss)
            case {"no_room": _}:
                return None
            case {"mistake": sentence}:
                reasons[rank] = UserError(sentence)
            case {"paused": sentence, "until": until}:
                reasons[rank] = Paused(sentence, datetime.fromisoformat(until))
            case {"broken": what}:
                broken.append(f"process {rank + 1} of {count}: {what}")
            case {"tuned": tuned}:
                results[rank] = tuned
            case {"ended": code}:
                ended[rank] = code
        if 0 in reasons:  # it alone tells of steps, and has told of all by then
            break
        if deadline is None and (reasons or broken or any(ended.values())):
            deadline = time.monotonic() + REASON_SECONDS
    if reasons:
        raise reasons[min(reasons)]
    if len(results) == count:
        return Tuned(**results[0])
    for rank, code in sorted(ended.items()):
        if code < 0:
            raise TransientError(
                f"training: process {rank + 1} of {count} was killed ({signal.Signals(-code).name}); the next try goes "
                "on from the newest whole checkpoint."
            )
    raise RuntimeError(f"training: {broken[0] if broken else f'its processes ended with {sorted(ended.items())}'}")


# --- one of them ---


class _SharedWatch(Watch):
    """A watch on every card that marks a checkpoint once all have written their parts, and lets the first tell time."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        dist.barrier()
        super().on_save(args, state, control, **kwargs)

    def _is_over(self, state: TrainerState, control: TrainerControl) -> bool:
        if self.window.hours is None:
            return False
        over = torch.tensor(float(super()._is_over(state, control)), device=_device())
        dist.broadcast(over, 0)
        return bool(over)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _work(request: Message, tell: Tell) -> None:
    """Train on this process's card, and tell how it went."""
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    job = Job(**request["job"] | {"config": TrainingConfig.model_validate(request["job"]["config"])})
    first = rank == 0
    watch = _SharedWatch(
        progress=(lambda *step: tell(progress=step)) if first else None,
        on_metrics=(lambda *values: tell(metrics=values)) if first else None,
        window=Window(job.config.window),
    )
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        init_method=f"file://{request['meeting']}",
        rank=rank,
        world_size=count,
    )
    try:
        tuned = tune(job, watch, rank=rank, cards=count)
        tell(no_room=True) if tuned is None else tell(tuned=asdict(tuned))
    except UserError as e:
        tell(mistake=str(e))
    except Paused as e:
        tell(paused=str(e), until=e.until.isoformat())


def _end_with_parent() -> None:
    """Wait for the end of what we are told, which is that of the process that started us."""
    os.read(0, 1)
    os._exit(1)


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started us
    with open(0, "rb", closefd=False) as told, os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # what libraries print is not for the reader of `out`
        request = json.loads(told.readline())
        threading.Thread(target=_end_with_parent, daemon=True).start()

        def tell(**message: Any) -> None:
            out.write(json.dumps(message) + "\n")
            out.flush()

        try:
            _work(request, tell)
        except Exception as e:
            traceback.print_exc()
            tell(broken=f"{type(e).__name__}: {e}")
            out.flush()
            os._exit(1)
    os._exit(0)  # without waiting for what others have still to say


if __name__ == "__main__":
    _main()
