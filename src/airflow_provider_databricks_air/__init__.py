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
"""The commands without Airflow, and the example Dags where Airflow looks for them.

Airflow 3.3 derives from a distribution's name the module whose folder ``example_dags`` it shows where examples are
switched on: this one. ``airflow-databricks-air`` and ``python -m airflow_provider_databricks_air`` start the commands
of ``airflow.providers.databricks_air`` from outside the package ``airflow``, whose import is all of Airflow's core.
"""

from __future__ import annotations

__all__: list[str] = []
