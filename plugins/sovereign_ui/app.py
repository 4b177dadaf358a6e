"""The pages under /sovereign in Airflow: behind its login, rendered here, loading nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

from sovereign_ui.pages import overview
from sovereign_ui.rendering import HERE, environment

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

# FastAPI's own /docs would load scripts from elsewhere, and both it and the schema would be open to anyone.
app = FastAPI(
    title="Sovereign",
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    dependencies=[Depends(requires_access_dag("GET"))],
)
app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
_templates = Jinja2Templates(env=environment())


@app.middleware("http")
async def protect(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Let a page run and load only its own files; pages are of the moment and are not kept."""
    response = await call_next(request)
    response.headers.update(HEADERS)
    if response.headers.get("content-type", "").startswith("text/html"):
        response.headers["Cache-Control"] = "no-store"
    return response


@app.get("/")
def show_overview(request: Request) -> Response:
    """Every model: its last night, its way to the next retrain, its champion."""
    return render(request, "overview.html", page=overview.read())


def render(request: Request, template: str, **values: Any) -> Response:
    """A page from its template; `home` and `airflow` are the paths of these pages and of Airflow itself."""
    home = request.scope["root_path"].rstrip("/")
    airflow = home.removesuffix("/sovereign")
    paths = {"home": home, "airflow": airflow, "now": datetime.now(UTC)}
    return _templates.TemplateResponse(request, template, paths | values)
