"""A listing of Reddit, newest first: read page by page, as far as Reddit shows any, and knowing where that was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sovereign_tasks.collect.reddit.api import Thing, patiently

PAGE = 100
END = 900  # things from which a listing that ended was cut off: Reddit shows 1,000, less what was removed among them
_STEPS_BACK = 3


class Listing:
    """One reading of a listing; `newest` and `oldest` are the times (Unix seconds) of what it gave, 0 for nothing.

    A cursor that was deleted makes Reddit answer with nothing, so an empty page is asked again after the thing
    before it.
    """

    def __init__(self, ask: Callable[..., Iterable[Thing]]) -> None:
        self._ask = ask
        self._met: set[str] = set()
        self.newest = self.oldest = 0.0

    def pages(self) -> Iterator[list[Thing]]:
        """Its things, each once."""
        after: list[str] = []
        while page := self._page_after(after):
            after = [thing.fullname for thing in page]
            self._met |= set(after)
            times = [thing.created_utc for thing in page]
            self.newest = max(self.newest, *times)
            self.oldest = min(self.oldest or times[0], *times)
            yield page

    def lost_since(self, moment: float) -> bool:
        """Whether a listing that was read to its end may lack things after a time."""
        return len(self._met) >= END and self.oldest > moment

    def __len__(self) -> int:
        return len(self._met)

    def _page_after(self, after: list[str]) -> list[Thing]:
        """The page after the last thing, or after one before it: the last may have been deleted meanwhile."""
        for start in [*reversed(after[-_STEPS_BACK:])] or [""]:
            params = {"after": start} if start else {}
            page = patiently(lambda p=params: list(self._ask(limit=PAGE, params=p)))
            if new := [thing for thing in page if thing.fullname not in self._met]:
                return new
        return []
