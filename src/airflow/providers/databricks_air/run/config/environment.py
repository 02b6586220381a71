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

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from airflow.providers.databricks_air.run.config.model import ConfigModel, Conflict, is_set
from airflow.providers.databricks_air.run.config.rules import (
    Image,
    Text,
    as_text,
    forbid,
    mistake,
    trimmed,
)
from airflow.providers.databricks_air.run.document.display import show

__all__ = ["DockerImage", "Environment"]

_MANAGED = "databricks_ai_v"
_FIRST_MANAGED = 5


def _version(value: str) -> str:
    """Return the one spelling of a version: digits, or ``databricks_ai_v<N>``."""
    text = value.lower()
    digits = text.removeprefix(_MANAGED)
    if not re.fullmatch(r"[0-9]{1,9}", digits):
        raise mistake(f"{show(value)} is not a version", "Write digits, such as 5, or databricks_ai_v5")
    if text == digits:
        return digits
    if int(digits) < _FIRST_MANAGED:
        raise mistake(f"{show(value)} does not exist", f"The first one is {_MANAGED}{_FIRST_MANAGED}")
    return f"{_MANAGED}{int(digits)}"


def _tag_policy(value: object) -> str:
    text = as_text(value).strip().lower()
    if text not in ("auto", "latest"):
        raise mistake(f"{show(value)} is not a tag policy", "Write auto or latest")
    return text


def _requirement(value: str) -> str:
    if not value.strip():
        raise mistake("must not be empty", "Write a pip requirement such as torch==2.3.0")
    return value


class DockerImage(ConfigModel):
    """An image of a Docker registry (older form; Unity Catalog images replace it)."""

    url: Annotated[Text, AfterValidator(trimmed())]
    """The image with its tag or digest, such as ``docker.io/org/image:tag``."""

    tag_policy: Annotated[Literal["auto", "latest"], BeforeValidator(_tag_policy)] = "auto"
    """``auto`` keeps the image that was registered, ``latest`` looks for a newer one under the same tag."""

    credentials_scope: Annotated[Text, AfterValidator(trimmed())] | None = None
    """The secret scope with the registry credentials; together with ``credentials_key``."""

    credentials_key: Annotated[Text, AfterValidator(trimmed())] | None = None
    """The secret key with the registry credentials; together with ``credentials_scope``."""

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield what is wrong between the fields."""
        if is_set(data, "credentials_scope") != is_set(data, "credentials_key"):
            here, there = "credentials_scope", "credentials_key"
            if is_set(data, there):
                here, there = there, here
            yield (here,), mistake(f"{here} needs {there}", "Write both or neither")


class Environment(ConfigModel):
    """The software that the run finds: a base version with packages, or an image of your own."""

    dependencies: tuple[Annotated[Text, AfterValidator(_requirement)], ...] = ()
    """Lines for pip, such as ``torch==2.3.0`` or ``-r /Workspace/…/requirements.txt``, installed on every
    node before the command. Older form: the path of a YAML file with ``version`` and ``dependencies``,
    relative to this file, is read and put in its place."""

    version: (
        Annotated[Text, AfterValidator(_version), Field(json_schema_extra={"type": ["string", "integer"]})]
        | None
    ) = None
    """The base environment: digits such as ``5``, or a managed one such as ``databricks_ai_v5``. The
    platform's default when unset."""

    unity_catalog_image: Image | None = None
    """An image in Unity Catalog, ``catalog.schema.image:tag``, instead of ``dependencies``
    and ``version``."""

    docker_image: DockerImage | None = None
    """An image of a Docker registry (older form), instead of ``dependencies`` and ``version``. Prefer
    ``unity_catalog_image``."""

    retired: ClassVar[Mapping[str, str]] = {
        "env_variables": "Write env_variables at the top level",
        "custom_image_tag": "Write unity_catalog_image: catalog.schema.image:tag",
        "python_version": "Write version; the base environment brings its Python",
        "client": "Write version",
    }

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> Iterator[Conflict]:
        """Yield what is wrong between the fields."""
        images = [name for name in ("unity_catalog_image", "docker_image") if is_set(data, name)]
        others = [name for name in ("dependencies", "version") if is_set(data, name)]
        if images and others:
            hint = "An image brings its software: remove the others, or the image"
            yield (images[0],), forbid([*images, *others], "cannot stand together", hint)
        elif len(images) > 1:
            yield (images[0],), forbid(images, "cannot stand together", "Keep unity_catalog_image")
