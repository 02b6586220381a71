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
"""The workspace: the one place that knows all rooms and puts them together."""

from __future__ import annotations

import email.utils
import ipaddress
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from databricks_air_local.api.control.runs import RunControl
from databricks_air_local.api.control.workspace import Control
from databricks_air_local.api.files.multipart import PartUploads
from databricks_air_local.api.files.volumes import VolumeFiles
from databricks_air_local.api.files.workspace_files import WorkspaceFiles
from databricks_air_local.api.identity.access import admit, refuse_expired
from databricks_air_local.api.identity.oidc import Oidc
from databricks_air_local.api.identity.permissions import Permissions
from databricks_air_local.api.identity.scim import Scim
from databricks_air_local.api.jobs.definitions import JobDefinitions
from databricks_air_local.api.jobs.images import Images
from databricks_air_local.api.jobs.jobs import Jobs
from databricks_air_local.api.jobs.logs import Logs
from databricks_air_local.api.jobs.policies import Policies
from databricks_air_local.api.jobs.pools import Pools
from databricks_air_local.api.jobs.submission import Admission
from databricks_air_local.api.jobs.validate import ConfigCheck
from databricks_air_local.api.mlflow.artifacts import ArtifactFiles
from databricks_air_local.api.mlflow.rest import Tracking
from databricks_air_local.api.telemetry import Telemetry
from databricks_air_local.engine.artifacts import Artifacts
from databricks_air_local.engine.launch import Launcher
from databricks_air_local.engine.lifecycle import Lifecycle
from databricks_air_local.engine.nodes import Nodes
from databricks_air_local.engine.records import Records
from databricks_air_local.engine.retention import Retention
from databricks_air_local.engine.streams import Streams
from databricks_air_local.http.server import BODY_LIMIT, Server, say_no, spool_to
from databricks_air_local.page.login import Login, guard_pages
from databricks_air_local.page.pages import Pages
from databricks_air_local.page.run_view import RunView
from databricks_air_local.page.script_page import ScriptPage
from databricks_air_local.script.interference import interfere
from databricks_air_local.script.scenario import Scenario, Script
from databricks_air_local.state.clock import Clock, RealClock
from databricks_air_local.state.doors import Doors
from databricks_air_local.state.files import Files
from databricks_air_local.state.inventory import Declaration, Inventory
from databricks_air_local.state.mlflow import Mlflow
from databricks_air_local.state.runs import Runs
from databricks_air_local.state.seals import Sealer
from databricks_air_local.state.site import Settings, Site
from databricks_air_local.state.store import Store
from databricks_air_local.state.tokens import Tokens

if TYPE_CHECKING:
    from databricks_air_local.http.server import Next

__all__ = ["Workspace"]


class Workspace:
    """A workspace and its server.

    :param directory: where it is kept.
    :param settings: how it behaves.
    :param clock: the time runs live in.
    :param scenario: faults and behaviours to begin with.
    """

    def __init__(
        self,
        directory: Path,
        settings: Settings,
        clock: Clock | None = None,
        scenario: Scenario | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or RealClock()
        self.site = Site(settings.user, settings.workspace_id)
        self.store = Store(directory)
        self.tokens = Tokens(self.store, self.clock, settings.token)
        self.sealer = Sealer(self.store, self.clock, self.site)
        self.doors = Doors(self.tokens, self.sealer)
        self.files = Files(self.store, self.clock, settings.user)
        declared = {name: getattr(settings, name) for name in ("volumes", "images", "pools", "policies")}
        self.inventory = Inventory(self.files.volumes, Declaration.parse(declared), relaxed=settings.relaxed)
        self.runs = Runs(self.store)
        self.mlflow = Mlflow(self.store, self.clock, settings.user)
        self.script = Script(scenario)
        self._engine(directory)
        self._server: Server | None = None

    def _engine(self, directory: Path) -> None:
        settings, clock = self.settings, self.clock
        streams = Streams(directory / "runs", clock, self.script)
        artifacts = Artifacts(self.runs, self.mlflow, streams, self.files, settings.artifact_layout)
        self.records = Records(streams, self.mlflow, artifacts)
        launcher = Launcher(directory, self.files, self.site, settings, self.tokens.node)
        self.nodes = Nodes(launcher, streams, clock, settings)
        self.retention = Retention(
            directory / "runs", self.runs, self.mlflow, self.files, streams, settings.keep
        )
        self.lifecycle = Lifecycle(
            self.runs, clock, self.nodes, self.records, settings.retry_wait, self.retention.sweep
        )

    def routes(self) -> list[web.RouteDef]:
        """Return all routes."""
        spool = spool_to(self.store.new_blob, self.settings.upload_limit)
        site, clock, runs = self.site, self.clock, self.runs
        volumes = VolumeFiles(self.files.volumes, self.inventory, self.mlflow, self.sealer, spool)
        resources = (
            Scim(site),
            Oidc(site, self.tokens, self.settings.token_seconds),
            ConfigCheck(self.script),
            WorkspaceFiles(self.files.workspace, self.store, spool),
            volumes,
            PartUploads(volumes, self.store, self.sealer, spool),
            Jobs(
                runs,
                self.lifecycle,
                self.script.behaviours,
                Admission(self.files, self.inventory),
                clock,
                site,
            ),
            JobDefinitions(self.store, clock, site),
            Telemetry(),
            Logs(runs, self.records.streams, clock),
            Tracking(self.mlflow, self.inventory, clock),
            ArtifactFiles(self.mlflow, self.records.artifacts, self.sealer, spool),
            Policies(self.inventory),
            Pools(self.inventory, runs),
            Images(self.store, self.inventory),
            Permissions(self.store, runs, self.mlflow, site.user),
            Pages(runs, RunView(self.records, self.files, clock, site), self.records, self.lifecycle, site),
            ScriptPage(self.script, runs, self.lifecycle, self.inventory, clock),
            Login(self.doors),
            Control(self.script, self.tokens, self.inventory, clock),
            RunControl(runs, self.lifecycle, self.nodes, self.records.streams, clock, site),
        )
        return [route for resource in resources for route in resource.routes()]

    def application(self) -> web.Application:
        """Return what answers requests."""
        interference = interfere(self.script.journal, self.script.faults, self.clock, self.settings.latency)
        admitted, timely = admit(self.tokens, self.sealer), refuse_expired(self.tokens)
        application = web.Application(
            middlewares=(self._note, say_no, admitted, guard_pages(self.doors), interference, say_no, timely),
            client_max_size=BODY_LIMIT,
        )
        application.add_routes(self.routes())
        application.on_response_prepare.append(self._sign)
        return application

    async def start(self, host: str, port: int) -> None:
        """Listen, and take up the runs that were alive when the server stopped.

        :param port: 0 takes that of last time, so that connections stay right, or a free one.
        """
        last = int((self.store.get("meta", "port") or {}).get("port", 0))
        tls = _tls(self.settings.tls)
        self._server = Server(self.application(), host, [port] if port or not last else [last, 0], tls)
        host, port = await self._server.start()
        self.store.put("meta", "port", {"port": port})
        self.doors.loopback = ipaddress.ip_address(host).is_loopback
        address = f"{f'[{host}]' if ':' in host else host}:{port}"
        reached = f"https://{address}" if tls else f"http://{address}"
        self.site.url = self.settings.public_url.rstrip("/") or reached
        inner = self._server.inner_port
        self.site.listening = f"http://127.0.0.1:{inner}" if inner else reached
        self.doors.names.add(urlsplit(self.site.url).hostname or "")
        self.retention.sweep()
        for run in self.runs:
            if run.active:
                self.lifecycle.resume(run)

    async def stop(self) -> None:
        """Stop listening, stop everything and close the store."""
        if self._server is not None:
            await self._server.stop()
        if self.settings.keep_runs:
            self.nodes.release()
        await self.lifecycle.close()
        await self.nodes.close()
        self.store.close()

    @web.middleware
    async def _note(self, request: web.Request, handler: Next) -> web.StreamResponse:
        self.nodes.request_came()
        return await handler(request)

    async def _sign(self, _http: web.BaseRequest, response: web.StreamResponse) -> None:
        response.headers["X-Databricks-Org-Id"] = str(self.site.workspace_id)
        # Clients tell old runs from new ones by it, so it goes with the time stamps of the runs.
        response.headers["Date"] = email.utils.formatdate(self.clock.now(), usegmt=True)


def _tls(files: tuple[str, str] | None) -> ssl.SSLContext | None:
    if files is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context
