"""How another version becomes champion: by a promotion or a rollback, each written down with whom it took over from.

MLflow's aliases and the ledger can't be written at once. So a move is noted in the ledger as begun, carried out, and
noted as made: where it is cut off once the alias has moved, the next one to move it ends that first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sovereign_tasks.errors import UserError
from sovereign_tasks.ledger import PROMOTED, ROLLED_BACK, Ledger
from sovereign_tasks.records import TrainingRun
from sovereign_tasks.stages.context import Context

if TYPE_CHECKING:
    from sovereign_tasks.promote import Version

_KIND, _BEGUN = "promotion", "begun"
_TAG_LENGTH = 1000  # of what MLflow is told of a reason


def make_champion(context: Context, made: TrainingRun, version: str, by: str = "", *, proved: str) -> str | None:
    """Promote a version, with what speaks for it and by whom it was approved, if by anyone.

    Gives the version that it takes over from. A run that has done so does it no second time.
    """
    from sovereign_tasks import promote as promotion

    with context.ledger.lease(lease_name(context.model), context.run):
        finish_begun(context)
        if own := own_move(context):
            if (earlier := own["detail"]["version"]) != version:
                raise UserError(f"{context.model}: run {context.run} has promoted version {earlier}; start a new one.")
            return own["detail"].get("took_over_from")
        if (found := promotion.find_version(context.model, version)) is None:
            raise UserError(f"{context.model}: somebody has deleted version {version} in MLflow; train again.")
        check_weights(found)
        now, moves = promotion.champion(context.model), context.ledger.moves(context.model)
        before = now.version if now else None
        _check_met(context, version, now)
        if before == version:  # somebody has moved the alias in MLflow
            before = moves[0]["detail"]["version"] if moves else None
        reason = f"{proved}; took over from version {before}" if before else f"{proved}; the first"
        move(context, PROMOTED, reason, made, version, took_over_from=before, previous=before, by=by)
    return before


def check_weights(version: Version) -> None:
    """Raise a `UserError` where a version's weights were deleted, or that was begun."""
    from sovereign_tasks import promote as promotion

    if promotion.WEIGHTS in version.tags:
        raise UserError(
            f"{version.model}: the weights of version {version.version} were deleted, so it can't be champion; train "
            "again."
        )


def _check_met(context: Context, version: str, now: Version | None) -> None:
    """Raise a `UserError` where the version was compared with another champion than it would take over from."""
    met = [noted["detail"]["run_id"] for noted in context.ledger.decisions(context.model, "champion", context.run)]
    standing = now.run_id if now else ""
    if met and met[0] != standing and not (now and now.version == version):
        whom = f"version {now.version}" if now else "nobody"
        raise UserError(
            f"{context.model}: version {version} was not compared with {whom}, who is champion by now; train again."
        )


def move(
    context: Context,
    outcome: str,
    reason: str,
    training: TrainingRun,
    version: str,
    *,
    took_over_from: str | None,
    previous: str | None,
    by: str = "",
) -> None:
    """Make a version champion, as the holder of the model's `lease_name`; `previous` is then the one before it.

    After a rollback that is not the one which it takes over from.
    """
    detail = {"version": version, "run_id": training.run_id, "snapshot": training.snapshot}
    detail |= {"took_over_from": took_over_from, "previous": previous, "by": by}
    context.ledger.decide(context.model, _KIND, context.run, _BEGUN, reason, **detail, to_be=outcome)
    _carry_out(context.ledger, context.model, context.run, outcome, reason, detail)


def finish_begun(context: Context) -> None:
    """End what was cut off between the alias and the ledger."""
    from sovereign_tasks import promote as promotion

    model, ledger = context.model, context.ledger
    moves = ledger.moves(model)
    begun = [d for d in ledger.decisions(model, _KIND) if d["outcome"] == _BEGUN]
    begun = [d for d in begun if not moves or d["at"] > moves[0]["at"]]  # an older one has been overtaken
    now = promotion.champion(model) if begun else None
    for one in begun:
        detail = dict(one["detail"])
        outcome = detail.pop("to_be")
        if now and now.version == detail["version"]:
            _carry_out(ledger, model, one["run"], outcome, one["reason"], detail)


def own_move(context: Context) -> dict[str, Any] | None:
    """The move that this run has made, if it has."""
    return next((made for made in context.ledger.moves(context.model) if made["run"] == context.run), None)


def lease_name(model: str) -> str:
    """What only the one who moves the alias may hold."""
    return f"champion/{model}"


def line_of_champions(ledger: Ledger, model: str) -> list[str]:
    """The versions that were champion one after another up to the one that is; a rollback takes the later ones out."""
    line: list[str] = []
    for made in reversed(ledger.moves(model)):
        for version in (made["detail"].get("took_over_from"), made["detail"]["version"]):
            if version in line:
                del line[line.index(version) + 1 :]
            elif version is not None:
                line.append(version)
        if made["outcome"] == ROLLED_BACK:
            line = left_behind(line, made["detail"]["took_over_from"], made["detail"]["version"])
    return line


def left_behind(line: list[str], now: str, version: str) -> list[str]:
    """A line of champions without the one that a rollback to an earlier version leaves."""
    return [one for one in line if one != now or int(version) > int(now)]


def _carry_out(ledger: Ledger, model: str, run: str, outcome: str, reason: str, detail: dict[str, Any]) -> None:
    from sovereign_tasks import promote as promotion

    notes = {}
    if outcome == ROLLED_BACK:
        said = f"by {detail['by']}: {reason}"[:_TAG_LENGTH]
        notes = {
            detail["took_over_from"]: {"rolled_back": f"to version {detail['version']} {said}"},
            detail["version"]: {"restored": f"from version {detail['took_over_from']} {said}"},
        }
    promotion.move(model, detail["version"], detail["previous"], notes)
    ledger.decide(model, _KIND, run, outcome, reason, **detail)
