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
"""Where the server is, whose it is, and how it behaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Settings", "Site"]


@dataclass(frozen=True)
class Settings:
    """How a server behaves.

    :param user: who the token belongs to.
    :param workspace_id: the number in ``X-Databricks-Org-Id``.
    :param retry_wait: seconds between two attempts of a run.
    :param keep_runs: processes may outlive the server.
    :param latency: seconds that every answer is held back.
    :param install_dependencies: install what a run asks for, into environments that are kept.
    :param memory_limit: bytes of address space for each process of a node; 0 for no limit.
    :param cpus: processors for each node; 0 for all.
    :param keep: how many runs that ended are kept, the newest; 0 for all.
    :param log_limit: bytes that are kept of the log of one node of one attempt.
    :param requirements_notice: begin logs with the platform's line about a missing requirements file.
    :param artifact_layout: where logs lie in MLflow: ``new`` (by attempt) or ``old``, which the downloads of
        ``databricks-air`` 1.2.1 look for.
    :param token_seconds: how long a token for client credentials is good.
    :param upload_limit: bytes of the largest file.
    :param secrets: values by ``scope/key``.
    :param volumes: what exists of volumes, as ``catalog.schema.volume``.
    :param images: what exists of images: of a registry, or ``catalog.schema.image:tag``.
    :param policies: usage policies: ids by name.
    :param pools: GPU pools by id: accelerator type and count.
    :param relaxed: whatever is named exists: volumes, images, pools and policies.
    :param token: the main token; that of last time, or a new one, when empty.
    :param public_url: what others reach the server by, when that is not where it listens: from a container.
    :param tls: files of a certificate, with those that vouch for it, and of its key; not encrypted without.
    """

    user: str = "you@example.com"
    workspace_id: int = 1234567890123456
    retry_wait: float = 0.1
    keep_runs: bool = False
    latency: float = 0.0
    install_dependencies: bool = False
    memory_limit: int = 0
    cpus: int = 0
    keep: int = 0
    log_limit: int = 1024**3
    requirements_notice: bool = False
    artifact_layout: str = "new"
    token_seconds: float = 3600.0
    upload_limit: int = 5 * 1024**3
    secrets: dict[str, str] = field(default_factory=dict)
    volumes: Sequence[str] = ()
    images: Sequence[str] = ()
    policies: Mapping[str, str] = field(default_factory=dict)
    pools: Mapping[str, tuple[str, int] | str] = field(default_factory=dict)
    relaxed: bool = False
    token: str = ""
    public_url: str = ""
    tls: tuple[str, str] | None = None


@dataclass
class Site:
    """The workspace as its URLs and its people see it.

    :param user: who the token belongs to.
    :param workspace_id: its number.
    :param url: where clients reach it; known once the server listens.
    :param listening: where it listens, for the commands that run beside it.
    """

    user: str
    workspace_id: int
    url: str = ""
    listening: str = ""

    def run_page(self, run_id: int) -> str:
        """Return the URL of the page of a run."""
        return f"{self.url}/jobs/runs/{run_id}?o={self.workspace_id}"
