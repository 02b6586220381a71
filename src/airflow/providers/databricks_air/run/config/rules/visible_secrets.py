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
"""Values that look like credentials where everybody can read them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

__all__ = ["visible_secrets"]

# What the services themselves put in front, so that it can be recognised: Databricks, Hugging Face, GitHub, OpenAI and
# Anthropic, AWS, Slack, GitLab, Google, Weights & Biases; and private keys.
_SHAPES = re.compile(
    r"dapi[0-9a-f]{32}|dose[0-9a-f]{32}|hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}"
    r"|sk-[A-Za-z0-9_-]{32,}|(AKIA|ASIA)[A-Z0-9]{16}|xox[abprs]-[\w-]{10,}|glpat-[\w-]{20,}|AIza[\w-]{35}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_NAMES = re.compile(r"(^|_)(API_KEY|ACCESS_KEY|SECRET|SECRET_KEY|PASSWORD|PASSWD|TOKEN)$")
# A reference, a switch or a number is no secret, whatever its name.
_LONG_ENOUGH = 16


def visible_secrets(variables: Mapping[str, str]) -> Iterator[str]:
    """Yield the names of the variables whose value looks like a credential.

    :param variables: ``env_variables`` of a run; everybody who sees the run can read them.
    """
    for name, value in variables.items():
        is_named_so = (
            _NAMES.search(name.upper())
            and len(value) >= _LONG_ENOUGH
            and " " not in value
            and "/" not in value
        )
        if is_named_so or _SHAPES.search(value):
            yield name
