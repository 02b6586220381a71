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
"""Make ``get_provider_info.py`` from ``provider.yaml``: ``python scripts/provider_info.py [--check]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "provider.yaml"
TARGET = ROOT / "src/airflow/providers/databricks_air/get_provider_info.py"

# What a release tool reads and Airflow does not.
RELEASE_KEYS = frozenset({"build-system", "lifecycle", "source-date-epoch", "state", "versions"})

MODULE = '''\
"""What Airflow asks of a provider at run time; made from provider.yaml by ``make provider-info``."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata in the shape of Airflow's provider-info schema."""
    return {value}
'''


def provider_info() -> dict[str, Any]:
    """Return what Airflow reads of ``provider.yaml`` at run time."""
    document: dict[str, Any] = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    return {key: value for key, value in document.items() if key not in RELEASE_KEYS}


def literal(value: object, indent: int = 4) -> str:
    """Render a value as Python, one entry per line, as the formatter leaves it.

    :param value: what YAML gave: mappings, lists and scalars.
    :param indent: the columns that the line of this value is indented by.
    """
    if isinstance(value, dict) and value:
        entries = [f"{literal(key)}: {literal(item, indent + 4)}" for key, item in value.items()]
    elif isinstance(value, list) and value:
        entries = [literal(item, indent + 4) for item in value]
    elif isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return repr(value) if value.count('"') > value.count("'") else text
    else:
        return repr(value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    lines = "".join(f"{' ' * (indent + 4)}{entry},\n" for entry in entries)
    return f"{opening}\n{lines}{' ' * indent}{closing}"


def module_text() -> str:
    """Return the text of ``get_provider_info.py``, with the licence header of ``provider.yaml``."""
    lines = SOURCE.read_text(encoding="utf-8").splitlines(keepends=True)
    header = "".join(line for line in lines[:12] if line.startswith("#"))
    return header + MODULE.replace("{value}", literal(provider_info()))


def main(arguments: list[str]) -> int:
    """Write the module, or with ``--check`` say whether it is up to date.

    :param arguments: the command line without the program.
    """
    text = module_text()
    if "--check" not in arguments:
        TARGET.write_text(text, encoding="utf-8")
    elif TARGET.read_text(encoding="utf-8") != text:
        print(f"{TARGET.relative_to(ROOT)} differs from provider.yaml: type 'make provider-info'")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
