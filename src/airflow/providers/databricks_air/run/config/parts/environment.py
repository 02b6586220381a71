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
"""The software of a run."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from airflow.providers.databricks_air.run.config.model import ConfigModel
from airflow.providers.databricks_air.run.config.rules.relations import Apart, Needs, Relation
from airflow.providers.databricks_air.run.config.rules.values import Image, OneOf, Text, any_case

__all__ = ["DockerImage", "Environment"]

_MANAGED = "databricks_ai_v"
_ADVICE = "Write digits, such as 5, or databricks_ai_v5 or later"
_VERSION = Text(
    rf"^([0-9]{{1,9}}|{any_case(_MANAGED)}0*([5-9]|[1-9][0-9]{{1,8}}))$",
    "is not a version",
    _ADVICE,
    blank=_ADVICE,
)
_REQUIREMENT = Text(blank="Write a pip requirement such as torch==2.3.0")


_SOFTWARE = "An image brings its software: remove the others, or the image"


def _one_spelling(value: str) -> str:
    """Return a version as digits, or as ``databricks_ai_v<N>``."""
    digits = value.lower().removeprefix(_MANAGED)
    return value if value == digits else f"{_MANAGED}{int(digits)}"


class DockerImage(ConfigModel):
    """An image of a Docker registry (older form; Unity Catalog images replace it)."""

    url: Annotated[str, Text(strip=True)]
    """The image with its tag or digest, such as ``docker.io/org/image:tag``."""

    tag_policy: Annotated[Literal["auto", "latest"], OneOf(str.lower)] = "auto"
    """``auto`` keeps the image that was registered, ``latest`` looks for a newer one under the same tag."""

    credentials_scope: Annotated[str, Text(strip=True)] | None = None
    """The secret scope with the registry credentials; together with ``credentials_key``."""

    credentials_key: Annotated[str, Text(strip=True)] | None = None
    """The secret key with the registry credentials; together with ``credentials_scope``."""

    relations: ClassVar[tuple[Relation, ...]] = (
        Needs(
            "credentials_scope",
            "credentials_key",
            "credentials_scope needs credentials_key",
            "Write both or neither",
        ),
        Needs(
            "credentials_key",
            "credentials_scope",
            "credentials_key needs credentials_scope",
            "Write both or neither",
        ),
    )


class Environment(ConfigModel):
    """The software that the run finds: a base version with packages, or an image of your own."""

    dependencies: tuple[Annotated[str, _REQUIREMENT], ...] = ()
    """Lines for pip, such as ``torch==2.3.0`` or ``-r /Workspace/…/requirements.txt``, installed on every
    node before the command. Older form: the path of a YAML file with ``version`` and ``dependencies``,
    relative to this file, is read and put in its place."""

    version: Annotated[str, _VERSION, AfterValidator(_one_spelling)] | None = None
    """The base environment: digits such as ``5``, or a managed one such as ``databricks_ai_v5``. The
    platform's default when unset."""

    unity_catalog_image: Image | None = None
    """An image in Unity Catalog, ``catalog.schema.image:tag``, instead of ``dependencies``
    and ``version``."""

    docker_image: DockerImage | None = None
    """An image of a Docker registry (older form), instead of ``dependencies`` and ``version``. Prefer
    ``unity_catalog_image``."""

    section: ClassVar[str] = "environment"
    relations: ClassVar[tuple[Relation, ...]] = (
        Apart("unity_catalog_image", ("dependencies", "version"), _SOFTWARE),
        Apart("docker_image", ("dependencies", "version"), _SOFTWARE),
        Apart("unity_catalog_image", ("docker_image",), "Keep unity_catalog_image"),
    )
