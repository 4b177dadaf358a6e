"""Who gives a command."""

from __future__ import annotations

import getpass
import os


def current_user() -> str:
    """The name that the system knows them by."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container, say
        return f"user {os.getuid()}"
