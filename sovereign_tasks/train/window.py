"""The hours in which a model may be trained: `20:00-06:00`, by this machine's clock."""

from __future__ import annotations

from datetime import datetime, time, timedelta


class Window:
    """A daily stretch of time, which may run over midnight; always open where there is none."""

    def __init__(self, hours: str | None) -> None:
        start, _, end = (hours or "").partition("-")
        self.hours = (time.fromisoformat(start), time.fromisoformat(end)) if hours else None

    def is_open(self, now: datetime) -> bool:
        """Whether training may go on at this moment."""
        if self.hours is None:
            return True
        (start, end), at = self.hours, now.time()
        return start <= at < end if start < end else at >= start or at < end

    def opens(self, now: datetime) -> datetime:
        """When it opens next, at or after a moment at which it is closed."""
        start = now.replace(hour=self.hours[0].hour, minute=self.hours[0].minute, second=0, microsecond=0)
        return start if start >= now else start + timedelta(days=1)
