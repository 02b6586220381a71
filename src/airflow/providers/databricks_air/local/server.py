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
"""The HTTP server: reads requests, lets a handler answer, writes what it returned."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from aiohttp import web

from airflow.providers.databricks_air.local.router import Match, decode
from airflow.providers.databricks_air.local.routes import ROUTER
from airflow.providers.databricks_air.local.wire import Refusal, Reply, Request, to_reply

if TYPE_CHECKING:
    from airflow.providers.databricks_air.local.workspace import Workspace

__all__ = ["Server"]

logger = logging.getLogger(__name__)

_JSON_LIMIT = 16 * 1024 * 1024
_SHOWN = 2000


class Server:
    """Serves one workspace.

    :param ws: the workspace.
    :param host: address to listen on.
    :param port: port; 0 takes a free one.
    """

    def __init__(self, ws: Workspace, host: str = "127.0.0.1", port: int = 0) -> None:
        self._ws = ws
        self._host = host
        self._port = port
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Listen, and take up the runs that were alive when the server stopped."""
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None))
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, shutdown_timeout=1)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self._ws.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._ws.resume()

    async def stop(self) -> None:
        """Stop listening and close the workspace."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self._ws.close()

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        if self._ws.settings.latency:
            await asyncio.sleep(self._ws.settings.latency)
        raw_path, _, raw_query = http.raw_path.partition("?")
        try:
            reply = await self._answer(http, raw_path, raw_query)
        except Refusal as refusal:
            reply = refusal.reply()
        except Exception:
            logger.exception("%s %s broke the local AI Runtime", http.method, raw_path)
            reply = Refusal(
                500, "INTERNAL_ERROR", "Internal error of the local AI Runtime, see its log"
            ).reply()
        return await self._write(http, reply)

    async def _answer(self, http: web.BaseRequest, raw_path: str, raw_query: str) -> Reply:
        match = ROUTER.find(http.method, raw_path)
        if match is None:
            await self._unknown(http, raw_path)
            raise Refusal(
                404, "ENDPOINT_NOT_FOUND", f"No API found for '{http.method} {decode(raw_path)[:300]}'"
            )
        if not match.route.public:
            self._ws.tokens.check(http.headers)
        query = parse_qs(raw_query, keep_blank_values=True, errors="replace", max_num_fields=1000)
        request = Request(http.method, decode(raw_path), match.params, query, http.headers)
        return await self._run_handler(http, match, request)

    async def _run_handler(self, http: web.BaseRequest, match: Match, request: Request) -> Reply:
        if match.route.upload:
            request.upload = await self._spool(http)
        else:
            request.body = b"".join([chunk async for chunk in _chunks(http, _JSON_LIMIT)])
        try:
            return to_reply(match.route.handler(self._ws, request))
        except BaseException:
            if request.upload is not None:
                request.upload.unlink(missing_ok=True)
            raise

    async def _spool(self, http: web.BaseRequest) -> Path:
        path = self._ws.store.new_blob()
        try:
            with path.open("wb") as file:
                async for chunk in _chunks(http, self._ws.settings.upload_limit):
                    file.write(chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    async def _unknown(self, http: web.BaseRequest, raw_path: str) -> None:
        body = b""
        with suppress(Refusal):
            body = b"".join([chunk async for chunk in _chunks(http, _JSON_LIMIT)])
        logger.error(
            "UNKNOWN ROUTE %s %s: the local AI Runtime does not know it. Body: %s",
            http.method,
            decode(raw_path)[:_SHOWN],
            body[:_SHOWN].decode("utf-8", "replace"),
        )

    async def _write(self, http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        headers = {"Content-Type": "application/json", **reply.headers}
        headers["X-Databricks-Org-Id"] = str(self._ws.settings.workspace_id)
        if reply.file is None:
            return web.Response(status=reply.status, body=reply.body, headers=headers)
        response = web.FileResponse(reply.file, status=reply.status, headers=headers)
        return response


async def _chunks(http: web.BaseRequest, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in http.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise Refusal(413, "MAX_REQUEST_SIZE_EXCEEDED", f"The request body is larger than {limit} bytes")
        yield chunk
