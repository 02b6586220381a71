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
"""The HTTP server: an application on a port, with answers for what goes wrong."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from databricks_air_local.http.exchange import reply
from databricks_air_local.http.refusals import Refusal

__all__ = ["BODY_LIMIT", "Next", "Server", "reset", "say_no", "spool_to"]

logger = logging.getLogger(__name__)

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: Bytes of a body that is read into memory.
BODY_LIMIT = 16 * 1024 * 1024
_SHOWN = 2000


class Server:
    """Serves one application.

    :param application: what answers.
    :param host: address to listen on.
    :param ports: ports to try, one after the other; 0 takes a free one.
    :param tls: what encrypts it. Commands of this machine then have a way of their own, on the loopback address.
    """

    def __init__(
        self, application: web.Application, host: str, ports: list[int], tls: ssl.SSLContext | None = None
    ) -> None:
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        self._host = host
        self._ports = ports
        self._tls = tls
        #: The port of the commands' own way; 0 without.
        self.inner_port = 0

    async def start(self) -> tuple[str, int]:
        """Listen, and return the address and the port.

        :raises OSError: when none of the ports can be had.
        """
        await self._runner.setup()
        for port in self._ports:
            try:
                await web.TCPSite(self._runner, self._host, port, backlog=1024, ssl_context=self._tls).start()
                break
            except OSError:
                if port == self._ports[-1]:
                    raise
        # Some versions of asyncio pass over an address that this machine does not have.
        if not self._runner.addresses:
            raise OSError(errno.EADDRNOTAVAIL, "this machine does not have that address")
        host, port = self._runner.addresses[0][:2]
        if self._tls is not None:
            await web.TCPSite(self._runner, "127.0.0.1", 0).start()
            self.inner_port = self._runner.addresses[-1][1]
        return host, port

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()


@web.middleware
async def say_no(request: web.Request, handler: Next) -> web.StreamResponse:
    """Turn whatever went wrong on the way of a request into the service's answer."""
    try:
        return await handler(request)
    except Refusal as error:
        refusal = error
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        # Method and path are enough to see what is missing; a body may hold anything.
        shown = f"{request.method} {request.path[:_SHOWN]}"
        logger.error("UNKNOWN ROUTE %s: the local AI Runtime does not know it", shown)
        refusal = Refusal(404, "ENDPOINT_NOT_FOUND", f"No API found for '{shown[:300]}'")
    except web.HTTPRequestEntityTooLarge:
        refusal = _too_large(BODY_LIMIT)
    except (ConnectionError, web.HTTPException):
        raise
    except Exception:
        logger.exception("%s %s broke the local AI Runtime", request.method, request.path)
        message = "Internal error of the local AI Runtime, see its log"
        refusal = Refusal(500, "INTERNAL_ERROR", message)
    return reply(refusal.body, refusal.status, refusal.headers)


def spool_to(new_file: Callable[[], Path], limit: int) -> Callable[[web.Request], Awaitable[Path]]:
    """Return a function that writes the body of a request to a file while it comes.

    :param new_file: names a file that is not there yet.
    :param limit: bytes; a body that is longer is refused and nothing of it stays.
    """

    async def spool(http: web.Request) -> Path:
        path, size = new_file(), 0
        try:
            with path.open("wb") as file:
                async for chunk in http.content.iter_any():
                    size += len(chunk)
                    if size > limit:
                        raise _too_large(limit)
                    file.write(chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    return spool


def reset(http: web.Request) -> None:
    """Close with a reset instead of an orderly end: the client must not take it for an empty answer."""
    transport = http.transport
    if transport is None:
        return
    plug = transport.get_extra_info("socket")
    if plug is not None:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "MAX_REQUEST_SIZE_EXCEEDED", f"The request body is larger than {limit} bytes")
