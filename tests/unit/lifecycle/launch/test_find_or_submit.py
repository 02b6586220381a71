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
"""One task instance's hold on its run, with and without a store, against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.api.http.calls import get_run
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.api.launch.notes import note_clear
from airflow.providers.databricks_air.api.watch.look import Patience
from airflow.providers.databricks_air.exceptions import AirServiceError
from airflow.providers.databricks_air.lifecycle.end.verdict import RunPolicy
from airflow.providers.databricks_air.lifecycle.launch.find_or_submit import Launcher, RunFinder
from airflow.providers.databricks_air.lifecycle.owner.identity import Signs
from airflow.providers.databricks_air.lifecycle.owner.record import Memory
from airflow.providers.databricks_air.run import load_run_config
from airflow.providers.databricks_air.run.launch.identity import TaskIdentity
from airflow.providers.databricks_air.run.outcome.states import Run
from databricks_air_local import LocalAirRuntime

CONFIG = load_run_config(
    "experiment_name: claim\ncompute: {accelerator_type: GPU_1xA10, num_accelerators: 1}\n"
    "max_retries: 0\ncommand: echo\n"
)
IDENTITY = TaskIdentity("dag", "manual__1", "/2026-01-01", "train", -1, "2")


class Store(dict[str, Any]):
    """Values that outlive an attempt, as Airflow's task state store keeps them."""

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        self[key] = value


@pytest.fixture(scope="module")
def air(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirRuntime]:
    """Start one server for all tests here; each asks under an identity of its own."""
    with LocalAirRuntime(tmp_path_factory.mktemp("air"), clock="virtual") as runtime:
        yield runtime


@pytest.fixture
def client(air: LocalAirRuntime) -> Iterator[SyncClient]:
    """Return a client of the server, and forget what its runs were told to do."""
    client = SyncClient(TokenCredentials(air.url, air.token))
    yield client
    air.forget_behaviours()
    client.close()


class Asking:
    """One try of one task that asks for its run.

    :param finder: of the try.
    :param launch: uploads and submits.
    :param token: an idempotency token of the author.
    """

    def __init__(self, finder: RunFinder, launch: Launcher, token: str | None) -> None:
        self.finder = finder
        self._launch = launch
        self._token = token

    def obtain(self) -> Run:
        """Adopt or submit, as the operator does."""
        return self.finder.adopt() or self.finder.submit(self._launch, self._token)


@pytest.fixture
def claim(client: SyncClient, tmp_path: Path) -> Callable[..., Asking]:
    """Return a function that makes one try of one task ask; ``life`` is its ``max_tries``."""
    identity = replace(IDENTITY, run_id=str(tmp_path))

    def make(try_number: int = 1, life: str = "2", **more: Any) -> Asking:
        store, token = more.pop("store", None), more.pop("token", None)
        policy = RunPolicy(more.pop("on_kill", "cancel"), more.pop("on_clear", "rerun"), durable=True)
        signs = Signs(
            try_number, int(life), more.pop("retries", 2), more.pop("clears", 0), more.pop("begun", None)
        )

        def submit(token: str, created: Callable[[int], None]) -> int:
            note = {"idempotency_token": token}
            return launch(client, CONFIG, token=token, created=created, owner=note)

        finder = RunFinder(
            client,
            replace(identity, life=life),
            signs,
            Memory(store),
            policy,
            patience=Patience(1.0, 1.0, 0.1),
            **more,
        )
        return Asking(finder, submit, token)

    return make


with_and_without_store = pytest.mark.parametrize("store", [None, "store"], ids=["token alone", "store"])


@with_and_without_store
def test_a_retry_follows_a_live_run(
    air: LocalAirRuntime, claim: Callable[..., Asking], store: str | None
) -> None:
    """The second try of a life gets the run that the first one started, while that is alive."""
    air.on("claim").hangs()
    kept = Store() if store else None
    first = claim(store=kept).obtain()
    second = claim(2, store=kept).obtain()
    assert first.run_id == second.run_id
    assert not second.is_terminal


def test_a_try_after_a_clear_does_not_get_the_result_of_before(
    air: LocalAirRuntime, claim: Callable[..., Asking], client: SyncClient, age: Callable[[], None]
) -> None:
    """Where nothing else remembers the clear of a running task, the note beside its run does."""
    air.on("claim").hangs()
    first = claim().obtain()
    air.release(first.run_id)
    wait_for_end(client, first.run_id)
    note_clear(client, first.launch_directory)
    age()
    second = claim(2).obtain()
    assert second.run_id != first.run_id
    assert claim(3).obtain().run_id == second.run_id


def test_a_try_after_a_clear_ends_the_run_of_before(
    air: LocalAirRuntime, claim: Callable[..., Asking], client: SyncClient, age: Callable[[], None]
) -> None:
    """A run that its cleared try could not end is ended by the next one, which does not follow it."""
    air.on("claim").hangs()
    first = claim().obtain()
    note_clear(client, first.launch_directory)
    age()
    assert claim(2).obtain().run_id != first.run_id
    assert wait_for_end(client, first.run_id).state.result == "CANCELED"


def test_a_task_that_adopts_over_clears_leaves_the_run_of_a_deleted_dag_run(
    air: LocalAirRuntime, claim: Callable[..., Asking], client: SyncClient, age: Callable[[], None]
) -> None:
    """A Dag run that was created again gets runs of its own, and its clears adopt these."""
    air.on("claim").hangs()
    first = claim(on_clear="adopt").obtain()
    age()
    client.perform(get_run(first.run_id))
    began_again = first.start_time / 1000 + 30 - client.clock_offset
    second = claim(on_clear="adopt", begun=began_again).obtain()
    assert second.run_id != first.run_id
    assert wait_for_end(client, first.run_id).state.result == "CANCELED"
    age()
    # The minute passes for the workspace only.
    assert claim(2, on_clear="adopt", begun=began_again - 60).obtain().run_id == second.run_id
    assert claim(2, on_clear="adopt").obtain().run_id == second.run_id


@with_and_without_store
def test_a_retry_gets_the_result_of_a_successful_run(
    air: LocalAirRuntime, claim: Callable[..., Asking], client: SyncClient, store: str | None
) -> None:
    """A run that ended well while nobody watched is the next try's result."""
    air.on("claim").hangs()
    kept = Store() if store else None
    first = claim(store=kept).obtain()
    air.release(first.run_id)
    wait_for_end(client, first.run_id)
    second = claim(2, store=kept).obtain()
    assert (second.run_id, second.is_success) == (first.run_id, True)


@with_and_without_store
def test_a_retry_after_a_failed_run_starts_a_fresh_one(
    air: LocalAirRuntime,
    claim: Callable[..., Asking],
    client: SyncClient,
    age: Callable[[], None],
    store: str | None,
) -> None:
    """Each try after a failure gets a run of its own, and a lost worker finds that one again."""
    air.on("claim").hangs()
    air.on("claim").fails().times(1)
    kept = Store() if store else None
    first = claim(store=kept).obtain()
    wait_for_end(client, first.run_id)
    age()
    second = claim(2, store=kept).obtain()
    assert second.run_id != first.run_id
    assert claim(3, store=kept).obtain().run_id == second.run_id


def test_without_a_store_a_lost_record_costs_nothing(
    air: LocalAirRuntime, claim: Callable[..., Asking]
) -> None:
    """A worker killed between the server's work and the store's leaves a run that the token finds."""
    air.on("claim").hangs()
    first = claim().obtain()
    kept = Store()
    assert claim(2, store=kept).obtain().run_id == first.run_id
    assert kept["databricks_air_run"]["run_id"] == first.run_id


def test_a_second_worker_of_the_same_try_ends_up_on_the_same_run(
    air: LocalAirRuntime, claim: Callable[..., Asking]
) -> None:
    """Two processes that both think they are try 1 share one run."""
    air.on("claim").hangs()
    before = air.runs_created
    assert claim().obtain().run_id == claim().obtain().run_id
    assert air.runs_created == before + 1


def test_a_run_that_fails_at_once_is_not_taken_for_an_old_one(
    air: LocalAirRuntime, claim: Callable[..., Asking], client: SyncClient, age: Callable[[], None]
) -> None:
    """A retry whose fresh run fails within milliseconds reports that failure instead of running once more."""
    air.on("claim").fails()
    first = claim().obtain()
    wait_for_end(client, first.run_id)
    age()
    before = air.runs_created
    claim(5).obtain()
    assert air.runs_created == before + 1


def test_a_clear_starts_a_fresh_run_and_ends_the_old_one(
    air: LocalAirRuntime, claim: Callable[..., Asking], client: SyncClient
) -> None:
    """A new life has a new run; a live one of the former life is cancelled where the store remembers it."""
    air.on("claim").hangs()
    kept = Store()
    first = claim(store=kept).obtain()
    second = claim(2, life="3", store=kept).obtain()
    assert second.run_id != first.run_id
    assert wait_for_end(client, first.run_id).state.result == "CANCELED"


def test_a_detached_run_survives_a_clear(
    air: LocalAirRuntime, claim: Callable[..., Asking], client: SyncClient
) -> None:
    """With ``on_kill="detach"`` nothing of ours ends a run."""
    air.on("claim").hangs()
    kept = Store()
    first = claim(store=kept).obtain()
    claim(2, life="3", store=kept, on_kill="detach").obtain()
    assert first.run_id in air.runs_alive


def test_a_token_of_the_author_is_used_as_it_is(
    air: LocalAirRuntime,
    claim: Callable[..., Asking],
    client: SyncClient,
    age: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """A retry with a fixed token gets the old failed run, and clear words about it."""
    air.on("claim").fails()
    token = f"fixed-{tmp_path.name}"[:64]
    first = claim(token=token).obtain()
    wait_for_end(client, first.run_id)
    age()
    assert claim(2, token=token).obtain().run_id == first.run_id
    assert "no new run was started" in caplog.text


def test_a_record_of_another_shape_is_no_error(air: LocalAirRuntime, claim: Callable[..., Asking]) -> None:
    """What the store holds may be of another version, or edited by hand; the token still finds the run."""
    air.on("claim").hangs()
    first = claim().obtain()
    assert claim(2, store=Store(databricks_air_run=["?"])).obtain().run_id == first.run_id


def test_a_run_that_is_gone_gives_way_to_a_fresh_one(
    air: LocalAirRuntime, claim: Callable[..., Asking]
) -> None:
    """A stored run that the service has forgotten is replaced."""
    air.on("claim").hangs()
    kept = Store(databricks_air_run={"run_id": 999_999_999, "life": "2", "generation": 0})
    assert claim(2, store=kept).obtain().run_id != 999_999_999


def wait_for_end(client: SyncClient, run_id: int) -> Any:
    """Return the run once it has ended."""
    from airflow.providers.databricks_air.api.watch.watch import Ended, WatchPlan, watch

    ended = [event for event in watch(client, WatchPlan(run_id, 0.05)) if isinstance(event, Ended)]
    return ended[-1].run


@pytest.fixture
def age(air: LocalAirRuntime) -> Callable[[], None]:
    """Return a function that lets the minute pass that lies between two tries."""
    return lambda: air.advance(60)


def test_one_answer_that_a_run_does_not_exist_is_not_believed(
    air: LocalAirRuntime, claim: Callable[..., Asking]
) -> None:
    """The look at a stored run, and the first look after a submission, ask again."""
    air.on("claim").hangs()
    kept = Store()
    missing = {"status": 404, "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Run does not exist"}
    air.add_fault("*/runs/get", **missing)
    first = claim(store=kept).obtain()
    air.add_fault("*/runs/get", **missing)
    before = air.runs_created
    assert claim(2, store=kept).obtain().run_id == first.run_id
    assert air.runs_created == before


def test_no_fresh_run_beside_one_that_cannot_be_ended(
    air: LocalAirRuntime, claim: Callable[..., Asking]
) -> None:
    """A cleared task whose old run the workspace refuses to end fails, and says what to do."""
    air.on("claim").hangs()
    kept = Store()
    first = claim(store=kept).obtain()
    air.add_fault("*/runs/cancel", status=403, error_code="PERMISSION_DENIED", times=-1)
    before = air.runs_created
    try:
        with pytest.raises(AirServiceError, match=f"Run {first.run_id} has to end"):
            claim(2, life="3", store=kept).obtain()
    finally:
        air.clear_faults()
    assert air.runs_created == before
    assert claim(2, life="3", store=kept).obtain().run_id != first.run_id
    assert first.run_id not in air.runs_alive


def test_a_run_that_was_to_end_is_ended_by_the_next_try(
    air: LocalAirRuntime, claim: Callable[..., Asking], client: SyncClient
) -> None:
    """A cancel that failed in a killed process is remembered, and no retry follows the run."""
    air.on("claim").hangs()
    kept = Store()
    asking = claim(store=kept)
    first = asking.obtain()
    asking.finder.memory.keep(must_end="execution_timeout has passed")
    assert claim(2, store=kept).obtain().run_id != first.run_id
    assert wait_for_end(client, first.run_id).state.result == "CANCELED"


def test_a_submission_that_was_only_meant_is_made_by_the_next_try(
    air: LocalAirRuntime, claim: Callable[..., Asking]
) -> None:
    """What is kept before a submission has its token: the next try gets the run, made or not, exactly once."""
    air.on("claim").hangs()
    kept = Store()
    first = claim(store=kept).obtain()
    kept["databricks_air_run"]["run_id"] = None
    before = air.runs_created
    # Tries of another count of clears name their life otherwise; the record knows the token.
    assert claim(2, store=kept, retries=7).obtain().run_id == first.run_id
    assert air.runs_created == before


def test_without_a_store_a_live_run_is_found_by_its_note(
    air: LocalAirRuntime, claim: Callable[..., Asking]
) -> None:
    """A retry that can send no submission, because its configuration is broken by now, finds the run of its life."""
    air.on("claim").hangs()
    first = claim().obtain()
    other = claim(2, life="3", token="another").obtain()
    found = claim(2).finder.recover(None)
    assert found is not None
    assert found.run_id == first.run_id
    by_token = claim(4, life="3").finder.recover("another")
    assert by_token is not None
    assert by_token.run_id == other.run_id


def test_no_other_run_is_found_by_its_note(air: LocalAirRuntime, claim: Callable[..., Asking]) -> None:
    """A first try, another life, and a try that a store remembers for, find none."""
    air.on("claim").hangs()
    claim().obtain()
    assert claim(1).finder.recover(None) is None
    assert claim(2, life="3").finder.recover(None) is None
    assert claim(2, store=Store()).finder.recover(None) is None
