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
"""The processes of all runs: started together, watched by one ticker, ended as groups."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.local.node import (
    CommandError,
    NodeProcess,
    NodeSpec,
    extract_code,
    kill_escaped,
    sidecar_variables,
)
from airflow.providers.databricks_air.local.submission import GPUS_PER_NODE, command_paths
from airflow.providers.databricks_air.local.tree import parent_of

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.providers.databricks_air.local.runs import Attempt, Run
    from airflow.providers.databricks_air.local.workspace import Workspace

__all__ = ["Nodes", "Outcome"]

_TICK = 0.03
_SIDECARS = (
    "env_vars.json",
    "secret_env_vars.json",
    "hyperparameters.yaml",
    "requirements.yaml",
    "training_config.yaml",
)
_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


@dataclass
class Outcome:
    """How an attempt ended.

    :param result: result state.
    :param message: state message; the service's generic one when empty.
    :param code: termination code, when it is not the usual one of the result.
    """

    result: str
    message: str = ""
    code: str = ""


@dataclass(eq=False)
class _Node:
    process: NodeProcess
    run_id: int
    attempt: int
    rank: int
    ended: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Nodes:
    """Runs commands for the workspace."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._live: set[_Node] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="air-prepare")
        self._read_end, self._write_end = os.pipe()
        self._released = False
        self._ended: list[tuple[_Node, int]] = []

    @property
    def alive(self) -> int:
        """Return the number of node processes that run now."""
        return len(self._live)

    async def run(self, run: Run, attempt: Attempt) -> Outcome:
        """Run the command of every node and return how it went; cancelling kills all of them."""
        loop = asyncio.get_running_loop()
        try:
            specs = await loop.run_in_executor(self._pool, self._prepare, run, attempt)
        except CommandError as error:
            self._ws.streams.say(run.run_id, attempt.number, 0, f"ERROR: {error}")
            return Outcome("FAILED", str(error), "INVALID_RUN_CONFIGURATION")
        nodes = [self._start(spec, run, attempt, rank) for rank, spec in enumerate(specs)]
        try:
            pending = {node.ended for node in nodes}
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                if any(future.result() for future in done):
                    break
        finally:
            await self._end(nodes)
        return Outcome("FAILED" if any(node.ended.result() for node in nodes) else "SUCCESS")

    def _start(self, spec: NodeSpec, run: Run, attempt: Attempt, rank: int) -> _Node:
        node = _Node(NodeProcess(spec, self._read_end), run.run_id, attempt.number, rank)
        self._live.add(node)
        if self._ticker is None or self._ticker.done():
            self._ticker = asyncio.create_task(self._tick())
        return node

    def release(self) -> None:
        """Let go of what runs: it will outlive the server."""
        self._released = True

    async def _end(self, nodes: list[_Node]) -> None:
        if self._released:
            return
        for node in nodes:
            if not node.ended.done():
                node.process.kill()
        await asyncio.gather(*(asyncio.shield(node.ended) for node in nodes))

    async def _tick(self) -> None:
        while self._live:
            for node in list(self._live):
                self._look(node)
            if self._ended:
                await self._sweep()
            await asyncio.sleep(_TICK)

    async def _sweep(self) -> None:
        """Tell the ends of nodes once nothing is left of them; one look at the processes for all."""
        ended, self._ended = self._ended, []
        marks = {node.process.mark for node, _ in ended}
        await asyncio.get_running_loop().run_in_executor(self._pool, kill_escaped, marks)
        for node, status in ended:
            node.ended.set_result(status)

    def _look(self, node: _Node) -> None:
        status = node.process.poll()
        stream = self._ws.streams.get(node.run_id, node.attempt, node.rank)
        lines = node.process.read_lines(final=status is not None)
        if lines:
            stream.extend(lines, self._ws.clock.now())
        if status is not None and not lines:
            node.process.close()
            self._live.discard(node)
            self._ended.append((node, status))

    def _prepare(self, run: Run, attempt: Attempt) -> list[NodeSpec]:
        """Lay out the directories of an attempt; runs in a worker thread."""
        paths = command_paths(run.air)
        home = self._ws.runs_directory / str(run.run_id) / f"attempt_{attempt.number}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        return [self._prepare_node(run, attempt, home / f"node_{rank}", (rank, len(paths), path, port))
                for rank, path in enumerate(paths)]  # fmt: skip

    def _prepare_node(
        self, run: Run, attempt: Attempt, directory: Path, place: tuple[int, int, str, str]
    ) -> NodeSpec:
        rank, count, command_path, port = place
        launch = directory / "launch"
        launch.mkdir(parents=True, exist_ok=True)
        self._copy_launch(command_path, launch)
        per_node = GPUS_PER_NODE[run.air["deployments"][0]["compute"]["accelerator_type"]]
        variables = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        variables.update(
            HOME=str(directory / "home"),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
            NUM_NODES=str(count),
            NODE_RANK=str(rank),
            WORLD_SIZE=str(per_node * count),
            LOCAL_WORLD_SIZE=str(per_node),
            MLFLOW_RUN_ID=attempt.mlflow_run_id,
            MLFLOW_EXPERIMENT_ID=attempt.experiment_id,
            MLFLOW_TRACKING_URI=self._ws.url,
            MLFLOW_TRACKING_TOKEN=self._ws.tokens.node,
            MLFLOW_SYSTEM_METRICS_NODE_ID=f"node_{rank}",
            MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
            NCCL_DEBUG="WARN",
            PYTHONUNBUFFERED="1",
            DATABRICKS_RUNTIME_VERSION=_runtime_version(run.body),
            DATABRICKS_AIR_LOCAL_NODE=uuid.uuid4().hex,
        )
        (directory / "home").mkdir(exist_ok=True)
        if (launch / "hyperparameters.yaml").exists():
            variables["HYPERPARAMETERS_PATH"] = str(launch / "hyperparameters.yaml")
        if run.air.get("code_source_path"):
            variables["CODE_SOURCE_PATH"] = str(self._extract(run.air["code_source_path"], directory))
        variables.update(sidecar_variables(launch, self._ws.secrets))
        return NodeSpec(directory, launch / "command.sh", variables, keep=self._ws.settings.keep_runs)

    def _copy_launch(self, command_path: str, launch: Path) -> None:
        tree = self._ws.tree_of(command_path)
        command = tree.find(command_path)
        if command is None or command.blob is None:
            raise CommandError(f"command_path '{command_path}' is not a readable file")
        shutil.copyfile(tree.blob(command), launch / "command.sh")
        for name in _SIDECARS:
            entry = tree.find(f"{parent_of(command_path)}/{name}")
            if entry is not None and entry.blob is not None:
                shutil.copyfile(tree.blob(entry), launch / name)

    def _extract(self, path: str, directory: Path) -> Path:
        tree = self._ws.tree_of(path)
        entry = tree.find(path)
        if entry is None or entry.blob is None:
            raise CommandError(f"code_source_path '{path}' is not a readable file")
        return extract_code(tree.blob(entry), directory / "databricks" / "code_source")

    async def close(self) -> None:
        """Kill what still runs, unless it may outlive the server, and release everything."""
        await self._end(list(self._live))
        if self._ticker is not None:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticker
        self._pool.shutdown(wait=True)
        os.close(self._write_end)
        os.close(self._read_end)


def _runtime_version(body: dict[str, Any]) -> str:
    specs = [environment.get("spec") or {} for environment in body.get("environments", ())]
    version = specs[0].get("environment_version") or specs[0].get("base_environment") if specs else ""
    return f"client.{version or sys.version_info.major}"
