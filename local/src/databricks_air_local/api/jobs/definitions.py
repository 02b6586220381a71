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
"""Jobs that are defined and kept: a bundle deploys its runs as such. Nothing starts them here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databricks_air_local.api.jobs.policies import page
from databricks_air_local.http.exchange import route
from databricks_air_local.http.refusals import integer, malformed, refuse

if TYPE_CHECKING:
    from aiohttp import web

    from databricks_air_local.http.exchange import Request
    from databricks_air_local.state.clock import Clock
    from databricks_air_local.state.site import Site
    from databricks_air_local.state.store import Store

__all__ = ["JobDefinitions"]


class JobDefinitions:
    """Jobs by their ids."""

    def __init__(self, store: Store, clock: Clock, site: Site) -> None:
        self._store = store
        self._clock = clock
        self._site = site
        self._jobs: dict[int, dict[str, Any]] = {int(key): job for key, job in store.all("jobs")}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            route(method, f"/api/{version}/jobs/{verb}", handler)
            for version in ("2.1", "2.2")
            for method, verb, handler in (
                ("POST", "create", self.create),
                ("POST", "reset", self.reset),
                ("POST", "delete", self.delete),
                ("GET", "get", self.get),
                ("GET", "list", self.list),
            )
        ]

    def create(self, request: Request) -> dict[str, Any]:
        """``POST …/jobs/create``: keeps the settings as they are."""
        job = {
            "job_id": self._store.next_id(),
            "creator_user_name": self._site.user,
            "run_as_user_name": self._site.user,
            "created_time": int(self._clock.now() * 1000),
            "settings": request.json(),
        }
        self._save(job)
        return {"job_id": job["job_id"]}

    def reset(self, request: Request) -> dict[str, Any]:
        """``POST …/jobs/reset``: new settings."""
        body = request.json()
        job = self._job(body.get("job_id"))
        if not isinstance(body.get("new_settings"), dict):
            raise malformed("new_settings must be an object")
        self._save({**job, "settings": body["new_settings"]})
        return {}

    def delete(self, request: Request) -> dict[str, Any]:
        """``POST …/jobs/delete``."""
        job = self._job(request.json().get("job_id"))
        del self._jobs[job["job_id"]]
        self._store.delete("jobs", str(job["job_id"]))
        return {}

    def get(self, request: Request) -> dict[str, Any]:
        """``GET …/jobs/get``."""
        return self._job(request.text("job_id"))

    def list(self, request: Request) -> dict[str, Any]:
        """``GET …/jobs/list``: the newest first, by name if asked."""
        name = request.text("name", "").lower()
        jobs = [
            job for job in self._jobs.values() if not name or job["settings"].get("name", "").lower() == name
        ]
        shown = page(request, "jobs", jobs[::-1], 100)
        return {**shown, "has_more": "next_page_token" in shown}

    def _job(self, job_id: object) -> dict[str, Any]:
        job = self._jobs.get(integer(job_id, "job_id"))
        if job is None:
            raise refuse(f"Job {str(job_id)[:40]} does not exist.")
        return job

    def _save(self, job: dict[str, Any]) -> None:
        self._jobs[job["job_id"]] = job
        self._store.put("jobs", str(job["job_id"]), job)
