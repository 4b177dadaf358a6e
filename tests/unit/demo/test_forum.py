"""The forum that grows, its accounts, and the limit that callers have to keep to."""

from __future__ import annotations

import time

import pytest

from sovereign_tasks.demo.forum import grown
from sovereign_tasks.demo.limits import RateLimit
from sovereign_tasks.demo.reddit_api import LISTING_END, Api


def _names(api: Api, path: str, **query: str) -> list[str]:
    return [child["data"]["name"] for child in api.answer(path, query)["data"]["children"]]


def test_every_night_brings_as_many_threads_and_changes_some_older_ones():
    before, now = ({thread.id: thread for thread in grown(night, 100)} for night in (3, 4))
    assert (len(before), len(now)) == (300, 400)
    old = [(thread, now[thread.id]) for thread in before.values()]
    assert sum(b.deleted and not a.deleted for a, b in old) > 0
    assert not any(a.deleted and not b.deleted for a, b in old)
    assert sum(a.body != b.body for a, b in old if not b.deleted) > 0
    assert sum(len(b.comments) > len(a.comments) for a, b in old) > 0
    assert sum(any(not c.author for c in b.comments) and all(c.author for c in a.comments) for a, b in old) > 0
    times = [thread.created_utc for thread in grown(4, 100)]
    assert times == sorted(times, reverse=True)
    assert grown(4, 100) == grown(4, 100)


def test_a_listing_ends_where_that_of_reddit_does():
    api, after, names = Api(grown(2)), "", []
    while page := _names(api, "/r/RoofingTalk/new", limit="100", after=after):
        names += page
        after = page[-1]
    assert len(names) == len(set(names)) == LISTING_END < sum(not thread.deleted for thread in grown(2))


def test_an_account_lists_what_it_wrote():
    threads = grown(1, 50)
    name = threads[0].author
    api = Api(threads)
    posts = [f"t3_{t.id}" for t in threads if t.author == name]
    assert _names(api, f"/user/{name}/submitted", limit="100") == posts
    comments = api.answer(f"/user/{name}/comments", {"limit": "100"})["data"]["children"]
    assert {c["data"]["name"] for c in comments} == {
        f"t1_{c.id}" for thread in threads for c in thread.comments if c.author == name
    }
    assert all(c["data"]["link_author"] for c in comments)


@pytest.mark.parametrize("told", [True, False])
def test_a_limit_refuses_what_is_too_much_and_counts_the_impatient(monkeypatch, told):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    limit = RateLimit(2, 10.0, told)
    first = limit.call()
    left = {"X-Ratelimit-Used": "1", "X-Ratelimit-Remaining": "1", "X-Ratelimit-Reset": "10"}
    assert first == (True, left if told else {})
    clock[0] += 2.5
    assert limit.call()[0]
    assert limit.call() == (False, {"Retry-After": "8"})
    assert (limit.refused, limit.impatient) == (1, 0)
    clock[0] += 7.0
    assert not limit.call()[0]
    assert (limit.refused, limit.impatient) == (2, 1)
    clock[0] += 1.0
    assert limit.call()[0]
    assert limit.windows[1:] == [2, 1]
