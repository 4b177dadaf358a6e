"""Five nights at a forum of 3,000 threads: the real PRAW against a real server that counts and limits its calls."""

from __future__ import annotations

import contextlib
import math
from collections import Counter

import pytest

from sovereign_tasks.collect import collect
from sovereign_tasks.collect.reddit import RedditSource
from sovereign_tasks.demo.forum import SUBREDDIT, Thread, grown
from sovereign_tasks.demo.limits import RateLimit
from sovereign_tasks.demo.reddit_api import Api
from sovereign_tasks.demo.server import DemoServer
from sovereign_tasks.records import Collected, RawItem, SourceState
from tests.unit.collect.collect_helpers import EMPTY, NOW, CutOff, Gathered, after

pytestmark = pytest.mark.integration


def visit(
    threads: tuple[Thread, ...],
    state: SourceState,
    max_posts: int,
    limit: RateLimit | None = None,
    stop_after: int | None = None,
) -> Gathered:
    """A night at the forum as it stands; with `stop_after`, cut off once that many parts are durable."""
    parts: list[Collected] = []

    def hand_on(part: Collected) -> None:
        if len(parts) == stop_after:
            raise CutOff
        parts.append(part)

    with DemoServer(forum=Api(threads), limit=limit) as server, contextlib.suppress(CutOff):
        source = RedditSource(
            name="forum", kind="reddit", subreddits=[SUBREDDIT], agreement="bundled demonstration forum",
            endpoint=server.forum_url, licence="owner", consent="own-content", max_posts=max_posts,
        )  # fmt: skip
        collect(source, state, contact="me@x.example", now=NOW, hand_on=hand_on)
    return Gathered(parts)


def alive(threads: tuple[Thread, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Texts by fullname of what readers see, and of comments that outlive their thread."""
    seen, orphans = {}, {}
    for thread in threads:
        comments = {f"t1_{c.id}": c.body for c in thread.comments if c.author}
        if not thread.deleted:
            seen |= {f"t3_{thread.id}": thread.body, **comments}
        elif thread.score % 2 == 0:
            orphans |= comments
    return seen, orphans


def texts(items: list[RawItem]) -> Counter[tuple[str, str]]:
    return Counter((item.item, item.body.decode()) for item in items)


def test_each_thread_comes_once_over_five_nights(capsys: pytest.CaptureFixture[str]) -> None:
    state, kept, gone = EMPTY, Counter(), set()
    for night, max_posts in enumerate((400, 700, 700, 700, 700), 1):
        threads = grown(night)
        limit = RateLimit(200, 2.0, told=night != 3)
        before = {item for _, item in state.known}
        got = visit(threads, state, max_posts, limit)
        state = after(state, got)
        kept += texts(got.items)
        gone |= {g.item for g in got.gone}

        seen, orphans = alive(threads)
        known = {item for _, item in state.known}
        assert {g.item for g in got.gone} == before - seen.keys() - orphans.keys()
        assert all(g.by_author for g in got.gone)
        assert known <= seen.keys() | orphans.keys()
        assert got.rows == len(got.items) + sum(got.reasons.values())
        # In the fifth night more comments are new than a listing shows, and their threads are read again.
        assert got.reasons.get("listing_end", 0) == (night == 5)
        waiting = sum(name.startswith("t3_") for name in seen.keys() - known)
        assert waiting == 200 if night == 1 else 0 < waiting <= 100 if night == 2 else waiting == 0
        assert limit.impatient == 0
        assert max(limit.windows) <= 200
        assert (limit.refused > 0) == (night == 3)
        with capsys.disabled():
            print(f"night {night}: {len(got.items)} items, {len(got.gone)} gone, {got.notes}, {limit.refused} refused")

    assert max(kept.values()) == 1
    assert known >= seen.keys()
    assert seen.items() <= kept.keys()
    assert sum(name.startswith("t3_") for name in {item for item, _ in kept}) >= 2900
    assert gone
    assert not gone & known

    quiet = visit(threads, state, 700)
    assert quiet.items == quiet.gone == []
    with capsys.disabled():
        print(f"a quiet night: {len(known)} known, {quiet.notes}")
    assert quiet.notes["requests"] <= math.ceil(len(known) / 100) + 3  # a token, and a page of each listing


def test_a_night_that_was_killed_ends_as_an_undisturbed_one() -> None:
    first_night = after(EMPTY, visit(grown(1, 250), EMPTY, 200))
    threads = grown(2, 250)
    whole = visit(threads, first_night, 230)
    end = after(first_night, whole)
    assert len(whole.parts) > 4
    assert whole.gone
    for killed_after in range(len(whole.parts)):
        start = visit(threads, first_night, 230, stop_after=killed_after)
        assert len(start.parts) == killed_after
        half = after(first_night, start)
        rest = visit(threads, half, 230)
        assert after(half, rest) == end
        assert texts(start.items) + texts(rest.items) == texts(whole.items)
        assert sorted((g.item, g.reason) for g in start.gone + rest.gone) == sorted(
            (g.item, g.reason) for g in whole.gone
        )
