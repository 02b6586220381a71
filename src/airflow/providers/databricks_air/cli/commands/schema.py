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
"""``schema``: print the JSON Schema of the run configuration, for editors."""

from __future__ import annotations

import argparse
import json

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add no options."""
    parser.epilog = "Editors take it as the schema of *.yaml files; in VS Code: yaml.schemas."


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    from airflow.providers.databricks_air.run.config.schema.json_schema import json_schema

    del args
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
