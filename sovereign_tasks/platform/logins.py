"""The logins of a production installation: `python -m sovereign_tasks.platform.logins`, once per start.

Airflow's list of users and AIRFLOW_PASSWORDS, a JSON object of their passwords, become the file that Airflow reads.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from sovereign_tasks.errors import UserError
from sovereign_tasks.platform.credentials import write_private

USERS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"
FILE = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
PASSWORDS = "AIRFLOW_PASSWORDS"


def write_logins(environ: Mapping[str, str]) -> None:
    """Judge the passwords and write Airflow's file of them, whole or not at all.

    Raises UserError for a user without one: Airflow would make one up and put it into its log.
    """
    try:
        passwords = json.loads(environ[PASSWORDS])
    except ValueError:
        passwords = None
    if not isinstance(passwords, dict) or not all(isinstance(p, str) and p for p in passwords.values()):
        raise UserError(f'{PASSWORDS} must be a JSON object of names and passwords: \'{{"admin": "…"}}\'.')
    users = [one.partition(":")[0].strip() for one in environ[USERS].split(",")]
    without = sorted(set(users) - set(passwords))
    if without:
        raise UserError(f"AIRFLOW_USERS names {', '.join(without)}, without a password in {PASSWORDS}; add one there.")
    write_private(Path(environ[FILE]), json.dumps(passwords) + "\n")


if __name__ == "__main__":
    try:
        write_logins(os.environ)
    except UserError as e:
        sys.exit(f"Error: {e}")
