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
"""What a workspace has: volumes, images, pools and usage policies. What was not declared does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from databricks_air_local.http.refusals import Refusal, missing, refuse
from databricks_air_local.state.mlflow import on_volume
from databricks_air_local.state.runs import GPUS_PER_NODE

if TYPE_CHECKING:
    from pathlib import Path

    from databricks_air_local.state.tree import Tree

__all__ = ["Declaration", "Inventory", "normalise"]

_IMAGE = re.compile(r"[a-z0-9][a-z0-9.:_/-]*(@sha256:[0-9a-f]{64})?", re.IGNORECASE)
_VOLUME = re.compile(r"[^./]+\.[^./]+\.[^./]+")
_PARTS = ("volumes", "images", "pools", "policies")


@dataclass(frozen=True)
class Declaration:
    """What somebody says that a workspace has.

    :param volumes: ``catalog.schema.volume``.
    :param images: of a registry, or ``catalog.schema.image:tag``.
    :param pools: GPU pools by id: accelerator type and count.
    :param policies: usage policies: ids by name.
    """

    volumes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    pools: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    policies: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: object) -> Declaration:
        """Return what a document says: lists of ``volumes`` and ``images``, mappings of ``pools`` and ``policies``.

        A pool is written as ``GPU_8xH100:16``; a volume also as ``/Volumes/catalog/schema/volume``.

        :raises ValueError: naming the part, the value and the rule.
        """
        if not isinstance(document, Mapping):
            raise ValueError(f"{document!r}: must be a mapping of {', '.join(_PARTS)}")
        for name in document:
            if name not in _PARTS:
                raise ValueError(f"{name!r}: not one of {', '.join(_PARTS)}")
        parts = {name: document.get(name) or () for name in _PARTS}
        pools, policies = (_mapping(name, parts[name]) for name in ("pools", "policies"))
        return cls(
            tuple(_volume(name) for name in _texts("volumes", parts["volumes"])),
            tuple(_texts("images", parts["images"])),
            {key: _pool(key, value) for key, value in pools.items()},
            {key: text for key, value in policies.items() for text in _texts(f"policies {key}", [value])},
        )

    @classmethod
    def load(cls, path: Path) -> Declaration:
        """Read a YAML file.

        :raises ValueError: naming the file and what is wrong with it.
        """
        try:
            return cls.parse(yaml.safe_load(path.read_text()) or {})
        except OSError as error:
            raise ValueError(f"--workspace {path}: {error.strerror}") from None
        except (ValueError, yaml.YAMLError) as error:
            raise ValueError(f"--workspace {path}: {error}") from None


class Inventory:
    """What there is, and the refusals for what there is not.

    :param volumes: where the files of volumes lie.
    :param declared: what there is from the beginning; volumes stay with the state directory.
    :param relaxed: whatever is named exists.
    """

    def __init__(self, volumes: Tree, declared: Declaration, *, relaxed: bool = False) -> None:
        self._volumes = volumes
        self._images: set[str] = set()
        self._relaxed = relaxed
        self.pools: dict[str, tuple[str, int]] = {}
        self.policies: dict[str, str] = {}
        self.declare(declared)

    def declare(self, declared: Declaration) -> None:
        """Add what was declared to what there is."""
        for volume in declared.volumes:
            self._volumes.mkdirs(f"/Volumes/{volume.replace('.', '/')}")
        self._images.update(declared.images)
        self.pools.update(declared.pools)
        self.policies.update(declared.policies)

    def show(self) -> dict[str, Any]:
        """Return what there is, as ``Declaration.parse`` takes it."""
        return {
            "volumes": self._volume_names(),
            "images": sorted(self._images),
            "pools": {key: f"{kind}:{count}" for key, (kind, count) in self.pools.items()},
            "policies": self.policies,
        }

    def check_volume(self, path: str) -> None:
        """Check that the volume of a path exists.

        :param path: canonical path of a volume, or below it.
        :raises Refusal: 404 when it does not, 400 when the path names none.
        """
        parts = path.strip("/").split("/")
        if parts[0] != "Volumes" or len(parts) < 4:
            raise refuse(f"Path ({path[:300]}) must begin with /Volumes/<catalog>/<schema>/<volume>")
        volume = "/" + "/".join(parts[:4])
        if self._relaxed:
            self._volumes.mkdirs(volume)
        if self._volumes.find(volume) is None:
            raise missing(_unknown("Volume", ".".join(parts[1:4]), self._volume_names(), "volume"))

    def check_location(self, location: str) -> None:
        """Check that the volume of an artifact location exists, where it names one.

        :raises Refusal: as ``check_volume``.
        """
        path = on_volume(location if location.startswith("dbfs:") else f"dbfs:{location}")
        if path:
            self.check_volume(self._volumes.canonical(path))

    def has_image(self, name: str) -> bool:
        """Return whether an image exists: one of a registry, by any of its spellings, or of Unity Catalog."""
        if self._relaxed or name in self._images:
            return True
        try:
            whole = normalise(name)
        except Refusal:
            return False
        return whole in {normalise(image) for image in self._images if _IMAGE.fullmatch(image)}

    def check_image(self, name: str) -> None:
        """Check that an image exists.

        :raises Refusal: when it does not.
        """
        if not self.has_image(name):
            raise refuse(_unknown("Image", name, self._images, "image"))

    def check_pool(self, pool: str, accelerator: str) -> None:
        """Check that a pool exists and has accelerators of a type.

        :raises Refusal: when it does not.
        """
        if pool not in self.pools:
            if self._relaxed:
                return
            raise refuse(_unknown("Provisioned capacity", pool, self.pools, "pool"))
        kind = self.pools[pool][0]
        if kind != accelerator:
            raise refuse(f"Provisioned capacity '{pool[:255]}' has {kind}, not {accelerator}.")

    def check_policy(self, policy: str) -> None:
        """Check that a usage policy exists, by its id.

        :raises Refusal: when it does not.
        """
        if not self._relaxed and policy not in self.policies.values():
            raise refuse(_unknown("Usage policy", policy, self.policies.values(), "policy"))

    def _volume_names(self) -> list[str]:
        found = [entry.path for entry in self._volumes.entries() if entry.path.count("/") == 4]
        return sorted(path.removeprefix("/Volumes/").replace("/", ".") for path in found)


def normalise(url: object) -> str:
    """Return the one spelling of an image of a registry: host, namespace and tag or digest are never left out.

    :raises Refusal: when it is not an image reference.
    """
    if not isinstance(url, str) or len(url) > 1000 or not _IMAGE.fullmatch(url):
        raise refuse(f"docker_image_url '{str(url)[:200]}' is not an image reference")
    name, _, digest = url.partition("@")
    head, _, rest = name.partition("/")
    if not rest or not ("." in head or ":" in head or head == "localhost"):
        name = f"docker.io/{name if rest else f'library/{name}'}"
    repository, _, tag = name.rpartition("/")
    short, _, version = tag.partition(":")
    return f"{repository}/{short}@{digest}" if digest else f"{repository}/{short}:{version or 'latest'}"


def _unknown(kind: str, name: str, there: Iterable[str], option: str) -> str:
    known = ", ".join(sorted(there)[:10])
    said = f"declared are {known}" if known else "none is declared"
    return f"{kind} '{name[:255]}' does not exist: {said} (--{option})."


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if value and not isinstance(value, Mapping):
        raise ValueError(f"{name}: {value!r} must be a mapping")
    return value if isinstance(value, Mapping) else {}


def _texts(name: str, value: object) -> list[str]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and item for item in value):
        raise ValueError(f"{name}: {value!r} must be a list of texts")
    return list(value)


def _volume(text: str) -> str:
    name = text.removeprefix("/Volumes/").strip("/").replace("/", ".") if text.startswith("/") else text
    if not _VOLUME.fullmatch(name):
        raise ValueError(f"volumes: {text!r} must read catalog.schema.volume")
    return name


def _pool(key: str, value: object) -> tuple[str, int]:
    kind, count = str(value).partition(":")[::2] if isinstance(value, str) else _pair(value)
    number = int(count) if str(count).isascii() and str(count).isdigit() else 0
    if kind not in GPUS_PER_NODE or number < 1:
        raise ValueError(
            f"pools {key}: {value!r} must read TYPE:COUNT, such as GPU_8xH100:16; "
            f"types are {', '.join(GPUS_PER_NODE)}"
        )
    return kind, number


def _pair(value: object) -> tuple[Any, Any]:
    return (value[0], value[1]) if isinstance(value, (list, tuple)) and len(value) == 2 else ("", 0)
