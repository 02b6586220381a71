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
"""Python packages that a run asks for: named in its log, or installed into an environment that is kept."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

__all__ = ["dependency_notice", "wanted_dependencies", "write_setup"]

# No word of a client stands in it: the lines of the requirements file are read by the installer.
_SETUP = """
{exports}
environment={environment}
exec 9>"$environment.lock"
if command -v flock >/dev/null; then flock 9; fi
if [[ ! -e $environment/.done ]]; then
  echo "Installing {count} dependencies ..."
  rm -rf "$environment"
  if command -v uv >/dev/null; then
    uv venv --quiet --python {python} "$environment"
    uv pip install --quiet --python "$environment/bin/python" -r {requirements}
  else
    {python} -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check -r {requirements}
  fi
  touch "$environment/.done"
fi
"""


def wanted_dependencies(body: dict[str, Any], launch: Path | None = None) -> list[str]:
    """Return the dependency lines of a run: of its environment, or of the file beside its command.

    :param body: the submit body.
    :param launch: directory of the files beside the command.
    """
    lines = list(body["environments"][0]["spec"].get("dependencies") or ())
    file = launch / "requirements.yaml" if launch is not None else None
    if file is not None and file.exists():
        try:
            document = yaml.safe_load(file.read_bytes())
        except yaml.YAMLError:
            document = None
        named = document.get("dependencies") if isinstance(document, dict) else None
        lines += [line for line in named or () if isinstance(line, str)]
    # The platform ignores --trusted-host, so that a line which works here works there.
    return [line for line in lines if not line.strip().startswith("--trusted-host")]


def dependency_notice(body: dict[str, Any]) -> list[str]:
    """Return the log line for dependencies that nobody installs."""
    lines = wanted_dependencies(body)
    if not lines:
        return []
    return [f"Dependencies not installed (see --install-dependencies): {', '.join(lines)}"]


def write_setup(environments: Path, lines: list[str], launch: Path) -> tuple[Path, Path]:
    """Write the script that makes the environment, once for equal dependencies.

    :param environments: where environments are kept.
    :param lines: dependency lines.
    :param launch: where the script is written.
    :return: the script and the environment.
    """
    text = "\n".join(lines) + "\n"
    key = hashlib.sha256(f"{sys.version_info[:2]}\n{text}".encode()).hexdigest()[:16]
    requirements = launch / "requirements.txt"
    requirements.write_text(text)
    script = launch / "setup.sh"
    script.write_text(
        _SETUP.format(
            exports="\n".join(f"export {name}={shlex.quote(value)}" for name, value in _installer_settings()),
            environment=shlex.quote(str(environments / key)),
            count=len(lines),
            python=shlex.quote(_base_python()),
            requirements=shlex.quote(str(requirements)),
        )
    )
    return script, environments / key


def _installer_settings() -> list[tuple[str, str]]:
    """Return what tells pip and uv where packages are; the command itself does not get it."""
    return [
        (name, value)
        for name, value in os.environ.items()
        if name == "HOME" or name.startswith(("PIP_", "UV_")) or name.upper().endswith("_PROXY")
    ]


def _base_python() -> str:
    """Return an interpreter that makes environments without this process's own packages."""
    return shutil.which("python3", path=str(Path(sys.base_prefix) / "bin")) or sys.executable
