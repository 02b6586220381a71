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
"""The documentation of the fields: the text that stands below each of them in the source of its model."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["field_docs"]


@cache
def field_docs(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the documentation of the fields of *model* by name; empty where its source is not installed.

    pydantic can do this itself, but reads the source whenever a model is imported: more work than all other
    start-up of ``validate`` together, and in every process that parses a Dag file.

    :param model: a part of the run configuration.
    """
    try:
        source = inspect.getsource(sys.modules[model.__module__])
    except (OSError, TypeError):
        return {}
    return {
        name: text
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == model.__name__
        for name, text in _documented(node)
    }


def _documented(model: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, text in zip(model.body, model.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match text:
                case ast.Expr(value=ast.Constant(value=str(doc))):
                    yield field.target.id, inspect.cleandoc(doc)
