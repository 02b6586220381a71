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
"""A contract for import-linter that its own kinds cannot express: who may import Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from importlinter import Contract, ContractCheck, fields, output

if TYPE_CHECKING:
    from grimp import ImportGraph

OURS = "airflow.providers.databricks_air"


class NoAirflowContract(Contract):
    """The source modules and everything below them import no module of Airflow but this package.

    This package lives inside the namespace ``airflow``, which import-linter's ``forbidden`` contract
    takes for one root package with everything in it.
    """

    source_modules: Any = fields.ListField(subfield=fields.ModuleField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Collect the direct imports of Airflow.

        :param graph: every import of this package.
        :param verbose: not used.
        """
        rooms = [module.name for module in self.source_modules]
        sources = [m for m in graph.modules if any(m == room or m.startswith(f"{room}.") for room in rooms)]
        found = [
            f"{source} imports {target}"
            for source in sorted(sources)
            for target in sorted(graph.find_modules_directly_imported_by(source))
            if target.split(".")[0] == "airflow" and target != OURS and not target.startswith(f"{OURS}.")
        ]
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print what was found.

        :param check: what :meth:`check` returned.
        """
        for line in check.metadata["found"]:
            output.print_error(line)
