# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#   http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing,
# software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY
# KIND, either express or implied.  See the License for the
# specific language governing permissions and limitations
# under the License.
"""The application that makes the pages; Airflow's API server mounts it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from airflow.providers.databricks_air.plugin.page import page
from airflow.providers.databricks_air.plugin.views import Views

__all__ = ["make_app"]


def make_app() -> FastAPI:
    """Return the application: two pages that only read, for who may read the Dag."""

    @asynccontextmanager
    async def open_to_close(app: FastAPI) -> AsyncIterator[None]:
        app.state.views = Views()
        yield
        await app.state.views.close()

    app = FastAPI(
        title="Databricks AI Runtime", lifespan=open_to_close, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.add_exception_handler(HTTPException, _refusal)
    app.add_exception_handler(RequestValidationError, _nowhere)
    # A path, not a query: what Airflow has checked is what is shown.
    may_read = Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE))

    @app.get("/dags/{dag_id}/task", dependencies=[may_read], response_class=HTMLResponse)
    async def task(
        dag_id: str, run_id: str, task_id: str, user: GetUserDep, request: Request, map_index: str = "-1"
    ) -> HTMLResponse:
        """Show the run of a task instance."""
        # "~" stands for all Dags, where Airflow asks for one.
        if dag_id == "~":
            raise HTTPException(404)
        with_lines = await run_in_threadpool(_may_read_logs, request, user)
        index = int(map_index) if map_index.isdigit() else -1
        views: Views = app.state.views
        return await views.task(dag_id, run_id, task_id, index, with_lines)

    @app.get("/fleet", response_class=HTMLResponse)
    async def fleet(user: GetUserDep) -> HTMLResponse:
        """Show the live runs of the Dags that the user may read."""
        views: Views = app.state.views
        return await views.fleet(lambda dag_ids: _readable(user, dag_ids))

    return app


def _may_read_logs(request: Request, user: Any) -> bool:
    try:
        requires_access_dag("GET", DagAccessEntity.TASK_LOGS)(request, user)
    except HTTPException:
        return False
    return True


def _readable(user: Any, dag_ids: set[str]) -> set[str]:
    """Return the Dags that a user may read; one that is gone may be seen by who may read any Dag."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    manager = get_auth_manager()
    allowed: set[str] = manager.get_authorized_dag_ids(user=user, method="GET") & dag_ids
    with create_session() as session:
        gone = dag_ids - set(session.scalars(select(DagModel.dag_id).where(DagModel.dag_id.in_(dag_ids))))
    if gone and manager.is_authorized_dag(method="GET", user=user):
        allowed |= gone
    return allowed


async def _refusal(_: Request, error: Exception) -> HTMLResponse:
    status = error.status_code if isinstance(error, HTTPException) else 404
    words = {
        401: "You are not logged in to Airflow any more.",
        403: "You may not read this Dag.",
    }
    return page(
        "words.html", status=status, alive=False, words=words.get(status, "There is no such task instance.")
    )


async def _nowhere(request: Request, _: Exception) -> HTMLResponse:
    return await _refusal(request, HTTPException(404))
