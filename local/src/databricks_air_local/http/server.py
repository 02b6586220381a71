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
import email.utils
import errno
import ipaddress
import logging
import socket
import struct
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from aiohttp import web

from databricks_air_local.api.routes import ROUTER
from databricks_air_local.http.router import Match, decode
from databricks_air_local.http.wire import Refusal, Reply, Request, malformed, to_reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from databricks_air_local.script.faults import Fault
    from databricks_air_local.workspace import Workspace

__all__ = ["Server"]

logger = logging.getLogger(__name__)

_JSON_LIMIT = 16 * 1024 * 1024
_SHOWN = 2000
_HIDDEN_HEADERS = {"authorization", "cookie"}


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
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=1)
        await self._runner.setup()
        await self._listen(self._runner)
        host, port = self._runner.addresses[0][:2]
        self._ws.tokens.loopback = ipaddress.ip_address(host).is_loopback
        self._ws.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._ws.resume()

    async def _listen(self, runner: web.ServerRunner) -> None:
        """Bind the port; without a wish for one, that of last time, so that connections stay right."""
        last = int((self._ws.store.get("meta", "port") or {}).get("port", 0))
        for port in (self._port,) if self._port or not last else (last, 0):
            try:
                await web.TCPSite(runner, self._host, port, backlog=1024).start()
                break
            except OSError:
                if port != last or self._port:
                    raise
        if (
            not runner.addresses
        ):  # some versions of asyncio pass over an address that this machine does not have
            raise OSError(errno.EADDRNOTAVAIL, "this machine does not have that address")
        self._ws.store.put("meta", "port", {"port": runner.addresses[0][1]})

    async def stop(self) -> None:
        """Stop listening and close the workspace."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self._ws.close()

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        self._ws.last_request = time.monotonic()
        raw_path, _, raw_query = http.raw_path.partition("?")
        match = ROUTER.find(http.method, raw_path)
        request = Request(http.method, decode(raw_path), match.params if match else {}, {}, http.headers)
        refused = await self._read(http, match, request, raw_query)
        if match is not None and match.route.control:
            return self._write(refused or self._reply(match, request))
        if self._ws.settings.latency:
            await asyncio.sleep(self._ws.settings.latency)
        entry = self._record(http, request)
        started = time.monotonic()
        try:
            reply = await self._spoiled(http, match, request, refused, entry)
        finally:
            entry["duration"] = time.monotonic() - started
        entry["status"] = reply.status if reply else 0
        return self._write(reply) if reply else web.Response()

    async def _read(
        self, http: web.BaseRequest, match: Match | None, request: Request, raw_query: str
    ) -> Reply | None:
        """Check who asks and read the body; return the answer when that already fails."""
        try:
            if match is not None and match.route.page:
                self._ws.tokens.check_page(http.headers)
            elif match is not None and not match.route.public:
                self._ws.tokens.check(http.headers, control=match.route.control)
            request.query = _query(raw_query)
            if match is not None and match.route.upload:
                request.upload = await self._spool(http)
            else:
                request.body = b"".join([chunk async for chunk in _chunks(http, _JSON_LIMIT)])
        except Refusal as refusal:
            return refusal.reply()
        return None

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

    def _record(self, http: web.BaseRequest, request: Request) -> dict[str, Any]:
        peer = http.transport.get_extra_info("peername") if http.transport else None
        headers = {name: value for name, value in http.headers.items() if name.lower() not in _HIDDEN_HEADERS}
        entry = {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": headers,
            "time": self._ws.clock.now(),
            "connection": f"{peer[0]}:{peer[1]}" if peer else "",
            "fault": "",
        }
        return self._ws.journal.add(entry, request.body)

    async def _spoiled(
        self,
        http: web.BaseRequest,
        match: Match | None,
        request: Request,
        refused: Reply | None,
        entry: dict[str, Any],
    ) -> Reply | None:
        """Answer, unless a fault forbids it; nothing means that the connection is gone."""
        fault = self._ws.faults.find(request.method, request.path)
        if fault is None:
            return refused or self._reply(match, request)
        entry["fault"] = fault.then
        reply = None
        if fault.after or fault.then in {"answer", "cut"}:
            reply = refused or self._reply(match, request)
        elif request.upload is not None:
            request.upload.unlink(missing_ok=True)
        await asyncio.sleep(fault.delay)
        if fault.then == "answer":
            return reply
        return await self._break(http, fault, reply)

    async def _break(self, http: web.BaseRequest, fault: Fault, reply: Reply | None) -> Reply | None:
        if fault.then in {"status", "garbage"}:
            return fault.reply()
        if fault.then == "hang":
            await asyncio.get_running_loop().create_future()
        if fault.then == "cut" and reply is not None:
            response = web.StreamResponse(status=reply.status, headers=self._headers(reply))
            response.content_length = len(reply.body) + 100
            await response.prepare(http)
            await response.write(reply.body[: len(reply.body) // 2])
            if http.transport is not None:
                http.transport.close()
            return None
        _reset(http)
        return None

    def _reply(self, match: Match | None, request: Request) -> Reply:
        try:
            if match is None:
                raise self._unknown(request)
            return to_reply(match.route.handler(self._ws, request))
        except Refusal as refusal:
            reply = refusal.reply()
        except Exception:
            logger.exception("%s %s broke the local AI Runtime", request.method, request.path)
            message = "Internal error of the local AI Runtime, see its log"
            reply = Refusal(500, "INTERNAL_ERROR", message).reply()
        if request.upload is not None:
            request.upload.unlink(missing_ok=True)
        return reply

    def _unknown(self, request: Request) -> Refusal:
        logger.error(
            "UNKNOWN ROUTE %s %s %s: the local AI Runtime does not know it. Body: %s",
            request.method,
            request.path[:_SHOWN],
            request.query,
            request.body[:_SHOWN].decode("utf-8", "replace"),
        )
        return Refusal(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} {request.path[:300]}'")

    def _headers(self, reply: Reply) -> dict[str, str]:
        workspace_id = str(self._ws.settings.workspace_id)
        return {
            "Content-Type": "application/json",
            "X-Databricks-Org-Id": workspace_id,
            # Clients tell old runs from new ones by it, so it goes with the time stamps of the runs.
            "Date": email.utils.formatdate(self._ws.clock.now(), usegmt=True),
            **reply.headers,
        }

    def _write(self, reply: Reply) -> web.StreamResponse:
        if reply.file is None:
            return web.Response(status=reply.status, body=reply.body, headers=self._headers(reply))
        return web.FileResponse(reply.file, status=reply.status, headers=self._headers(reply))


def _query(raw: str) -> dict[str, list[str]]:
    try:
        return parse_qs(raw, keep_blank_values=True, errors="replace", max_num_fields=1000)
    except ValueError:
        raise malformed("Could not parse request object: too many query parameters") from None


async def _chunks(http: web.BaseRequest, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in http.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise Refusal(413, "MAX_REQUEST_SIZE_EXCEEDED", f"The request body is larger than {limit} bytes")
        yield chunk


def _reset(http: web.BaseRequest) -> None:
    """Close with a reset instead of an orderly end: the client must not take it for an empty answer."""
    transport = http.transport
    if transport is None:
        return
    plug = transport.get_extra_info("socket")
    if plug is not None:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
