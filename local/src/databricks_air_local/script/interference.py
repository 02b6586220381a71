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
"""What a test does to requests on their way: they are recorded, held back and spoiled."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from aiohttp import web

from databricks_air_local.http.exchange import Access, endpoint_of
from databricks_air_local.http.server import reset
from databricks_air_local.script.callers import kill_caller

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

    from databricks_air_local.http.server import Next
    from databricks_air_local.script.faults import Fault, Faults
    from databricks_air_local.script.journal import Journal
    from databricks_air_local.state.clock import Clock

__all__ = ["interfere"]


def interfere(journal: Journal, faults: Faults, clock: Clock, latency: float) -> Middleware:
    """Return the middleware; the control endpoints pass it untouched.

    :param latency: seconds that every answer is held back.
    """

    @web.middleware
    async def record(request: web.Request, handler: Next) -> web.StreamResponse:
        endpoint = endpoint_of(request)
        if endpoint is not None and endpoint.access is Access.CONTROL:
            return await handler(request)
        await asyncio.sleep(latency)
        in_memory = endpoint is not None and endpoint.spool is None
        entry = journal.add(request, await request.read() if in_memory else b"", clock.now())
        fault = faults.find(request.method, request.path)
        entry["fault"] = fault.then if fault else ""
        started = time.monotonic()
        try:
            if fault is not None and fault.then == "stale":
                response = faults.stale(request.path_qs) or await handler(request)
            else:
                response = await (_spoiled(request, handler, fault) if fault else handler(request))
                if fault is None:
                    faults.remember(request.method, request.path, request.path_qs, response)
        finally:
            entry["duration"] = time.monotonic() - started
        entry["status"] = 0 if isinstance(response, _Broken) else response.status
        return response

    return record


async def _spoiled(request: web.Request, handler: Next, fault: Fault) -> web.StreamResponse:
    response = None
    if fault.after or fault.then in {"answer", "cut"}:
        response = await handler(request)
    else:
        async for _ in request.content.iter_any():
            pass  # the request arrives, whatever becomes of it
    await asyncio.sleep(fault.delay)
    if fault.then == "answer" and response is not None:
        return response
    return await _broken(request, fault, response)


class _Broken(web.Response):
    """Stands for an answer that was never given: the connection is gone."""


async def _broken(http: web.Request, fault: Fault, response: web.StreamResponse | None) -> web.StreamResponse:
    if fault.then in {"status", "garbage"}:
        return fault.answer()
    if fault.then == "kill":
        kill_caller(http)
    if fault.then == "hang":
        await asyncio.get_running_loop().create_future()
    if fault.then == "cut" and response is not None:
        return await _cut(http, response)
    reset(http)
    return _Broken()


async def _cut(http: web.Request, whole: web.StreamResponse) -> web.StreamResponse:
    body = whole.body if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    response.content_length = len(body) + 100
    await response.prepare(http)
    await response.write(body[: len(body) // 2])
    if http.transport is not None:
        http.transport.close()
    return _Broken()
