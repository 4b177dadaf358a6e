"""A session at Reddit, or at another server that speaks its API, and what its failures mean to the owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from praw.exceptions import PRAWException
from prawcore.exceptions import (
    Forbidden,
    NotFound,
    OAuthException,
    PrawcoreException,
    Redirect,
    ResponseException,
)

from sovereign_tasks.collect.night import Night
from sovereign_tasks.collect.reddit.api import client, refused_client, server
from sovereign_tasks.collect.reddit.visit import Visit
from sovereign_tasks.errors import TransientError, UserError

if TYPE_CHECKING:
    from sovereign_tasks.collect.reddit import RedditSource


def visit(source: RedditSource, night: Night) -> dict[str, Any]:
    """One night's visit; the cursor for the next."""
    at = None
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy, no .netrc
            session.hooks["response"].append(lambda r, **_: night.note(requests=1, bytes=len(r.content)))
            at = Visit(source, night, client(source, night.contact, session))
            return at.run()
    except (Forbidden, NotFound, Redirect) as e:
        place = at.place if at else ""
        raise UserError(
            f"source {source.name}: {place or server(source)} does not exist or is closed to you "
            f"(http {e.response.status_code}); correct {'users' if place.startswith('u/') else 'subreddits'}."
        ) from None
    except OAuthException as e:
        raise UserError(refused_client(source, e.error)) from None
    except (PrawcoreException, PRAWException) as e:
        status = f"http {e.response.status_code}" if isinstance(e, ResponseException) else type(e).__name__
        if isinstance(e, ResponseException) and e.response.status_code == 401:
            raise UserError(refused_client(source, status)) from None
        raise TransientError(f"source {source.name}: {server(source)} can't be read ({status}).") from None
