"""Registers the Sovereign pages and links in Airflow; what they show is in `sovereign_ui`."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin
from sovereign_ui.links import GateReportLink, MlflowRunLink


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """The pages' application, imported at its first request.

    Every task process loads this file, and Airflow's own web modules would cost each of them over a second.
    """
    from sovereign_ui.app import app

    await app(scope, receive, send)


class SovereignPlugin(AirflowPlugin):
    """A page in the navigation, and links of tasks to what they left in MLflow."""

    name = "sovereign"
    fastapi_apps = [{"app": pages, "url_prefix": "/sovereign", "name": "sovereign"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Sovereign",
            "href": "sovereign/",
            "destination": "nav",
            "url_route": "sovereign",
            "nav_top_level": True,
            "icon": "sovereign/static/icon.svg",
        }
    ]
    operator_extra_links = [MlflowRunLink(), GateReportLink()]  # noqa: RUF012
