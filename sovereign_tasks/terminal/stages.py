"""How stages are shown: in the order of the loop, with reasons that no line break cuts in two."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment

ORDER = (
    "begin erase collect curate deduplicate examples validate publish retrain_due all_collected "
    "preflight corpus base search train evaluate gate approve promote rollback watch"
).split()


def position(stage: str) -> tuple[int, str]:
    """Sorts stages, such as `train` or `collect:forum`, as the loop runs them, sources by their name."""
    name = stage.partition(":")[0]
    return (ORDER.index(name) if name in ORDER else len(ORDER), stage)


@dataclass(frozen=True)
class Reasons:
    """The reasons of dropped rows with their counts, largest first, broken only between them."""

    rejected: dict[str, int]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # textwrap takes a no-break space for a letter; rich would break there.
        text = ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in self._parts())
        for line in textwrap.wrap(text, options.max_width):
            yield Segment(line.replace("\N{NO-BREAK SPACE}", " "))
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widths = [len(part) + 1 for part in self._parts()]
        return Measurement(max(widths, default=0), sum(widths) + len(widths)).with_maximum(options.max_width)

    def _parts(self) -> Iterable[str]:
        for reason, count in sorted(self.rejected.items(), key=lambda item: (-item[1], item[0])):
            yield f"{count:,} {reason}"
