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
"""Older run configurations and MosaicML runs → today's form, and a list of what was left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.databricks_air.run.document.bases import Composer
from airflow.providers.databricks_air.run.errors import ConfigError
from airflow.providers.databricks_air.run.older.air import from_older
from airflow.providers.databricks_air.run.older.draft import Conversion, Draft, Note
from airflow.providers.databricks_air.run.older.forms import inline_requirements
from airflow.providers.databricks_air.run.older.mosaic import from_mosaic, is_mosaic

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Conversion", "convert_file"]


def convert_file(path: Path) -> Conversion:
    """Return the run configuration in *path* in today's form.

    :param path: a run configuration in any older form, or a MosaicML (``mcli``) run.
    :raises ConfigError: when the file cannot be read as YAML, or names a file that cannot be read.
    """
    composer = Composer()
    document = composer.file(path)
    mistakes = list(composer.mistakes)
    draft = Draft(path.name)
    if is_mosaic(document):
        from_mosaic(document, draft)
    else:
        document, wrong, inlined = inline_requirements(document, path.parent)
        mistakes += wrong
        for item in inlined:
            draft.notes.append(
                Note(item.path, "", "The lines of the requirements file were put here", item.line, item.file)
            )
        from_older(document, draft)
    if mistakes:
        raise ConfigError(mistakes)
    return draft.finish()
