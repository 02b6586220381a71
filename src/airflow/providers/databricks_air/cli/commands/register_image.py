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
"""``register-image``: make a Docker image known to the workspace, and wait until runs can use it."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.cli.envelope import CommandError
from airflow.providers.databricks_air.cli.output import (
    add_output_option,
    answer,
    console,
    note,
    print_data,
    table,
)
from airflow.providers.databricks_air.cli.sign_in import add_sign_in_options, workspace

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.images.registration import Image

__all__ = ["configure", "run"]

_MINUTES = 60


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "url", metavar="DOCKER_IMAGE_URL", help="reference of the image, such as docker.io/me/train:1"
    )
    parser.add_argument(
        "--credentials",
        metavar="SCOPE/KEY",
        help="the secret with the registry's credentials; they are never given on the command line",
    )
    parser.add_argument(
        "--tag-policy",
        choices=("auto", "latest"),
        default="auto",
        help="auto: an image that is available stays as it is (default); latest: look at its tag anew",
    )
    parser.add_argument(
        "--minutes", type=int, default=_MINUTES, help="how long to wait (default: %(default)s)"
    )
    parser.add_argument("-i", "--interactive-authenticate", action="store_true", help=argparse.SUPPRESS)
    add_sign_in_options(parser)
    add_output_option(parser)


def run(args: argparse.Namespace) -> int:
    """Register the image; return 1 when it does not become available."""
    return answer(args, _register)


def _register(args: argparse.Namespace) -> int:
    from airflow.providers.databricks_air.api.images.registration import registration

    if args.interactive_authenticate:
        raise CommandError(
            "-i: nothing asks for a password here. Put base64 of user:password into a secret "
            "(databricks secrets put-secret SCOPE KEY) and name it with --credentials SCOPE/KEY",
            exit_code=2,
        )
    secret = _secret(args.credentials)
    deadline = time.monotonic() + 60 * args.minutes
    image: Image | None = None
    with _progress(args.url) as show:
        for image in registration(workspace(args), args.url, secret, is_anew=args.tag_policy == "latest"):
            show(image)
            if time.monotonic() > deadline:
                break
    assert image is not None  # the registration yields at least one state
    if image.state != "AVAILABLE":
        why = f": {image.message}" if image.message else ""
        late = "" if image.is_over else f" after {args.minutes} minutes"
        raise CommandError(f"{image.url} is {image.state}{late}{why}", "REGISTRATION_FAILED")
    rows = (("Image", image.url), ("State", image.state), ("Digest", image.digest or "N/A"))
    print_data(args, image.to_json(), lambda to: table(to, ("", ""), rows))
    return 0


def _secret(text: str | None) -> tuple[str, str]:
    if text is None:
        return "", ""
    scope, _, key = text.partition("/")
    if not scope or not key or "/" in key:
        # The text is not repeated: somebody may have written the password itself.
        raise CommandError("--credentials: must read SCOPE/KEY, the name of a secret", exit_code=2)
    return scope, key


@contextlib.contextmanager
def _progress(url: str) -> Iterator[Callable[[Image], None]]:
    """Yield what shows a state: moving on a terminal, a line for each change elsewhere."""
    seen = ""

    def tell(image: Image) -> None:
        nonlocal seen
        if image.state != seen:
            seen = image.state
            note(f"{url}: {image.state}")

    if not sys.stderr.isatty():
        yield tell
        return
    with console(to_stderr=True).status(f"Registering {url}") as status:
        yield lambda image: status.update(f"Registering {url}: {image.state}")
