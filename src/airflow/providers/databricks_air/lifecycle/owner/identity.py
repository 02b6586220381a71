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
"""Who asks for a run, and whether that is still who asked before: the life of a task instance.

A life begins with the first try and with each clear, and goes on through the retries that Airflow makes by
itself. No version of Airflow says plainly which of the two a try is, so it is put together from what each does say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.lifecycle.attempts import (
    clear_count,
    earlier_successes,
    only_we_have_begun,
    unmoved_start,
)
from airflow.providers.databricks_air.run.launch.identity import TaskIdentity
from airflow.providers.databricks_air.version_compat import state_store

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow.providers.databricks_air.lifecycle.end.verdict import RunPolicy

__all__ = ["Signs", "begun_alone", "cleared_since", "signs_of", "task_identity"]


@dataclass(frozen=True)
class Signs:
    """What Airflow shows of a try, and what a clear changes of it.

    :param try_number: the attempt, counted from 1 over all lives.
    :param max_tries: a clear sets it to ``try_number + retries``, unless the task was running; a retry never
        touches it.
    :param retries: what the Dag says today.
    :param clear_number: how often tasks of the Dag run were cleared; None where Airflow does not count them all.
    :param begun: when the Dag run began, in seconds since the epoch; None where a clear may have moved that.
    """

    try_number: int
    max_tries: int
    retries: int
    clear_number: int | None = None
    begun: float | None = None


def signs_of(context: Context) -> Signs:
    """Return what Airflow shows of the running try."""
    ti: Any = context["ti"]
    return Signs(
        ti.try_number, ti.max_tries, int(ti.task.retries or 0), clear_count(context), unmoved_start(context)
    )


def task_identity(context: Context, policy: RunPolicy) -> TaskIdentity:
    """Return who asks for a run, as a try without a memory would say it.

    Two processes that Airflow starts for the same try must say the same, so that the token which is made from it
    joins them. Where Airflow keeps values for the task, the life is that of the first try, which later tries read;
    so it may hold anything that makes a clear visible. Without such a store every retry must come to the same
    identity on its own: ``max_tries`` does, which a clear changes unless the task was running, and on Airflow 2
    the number of earlier successes, which Airflow never tries again by itself. A task that is cleared while it
    runs then keeps its identity: its process cancels the run, and a process that was lost before it could do
    so leaves a run that the next try follows, which is the safe answer where nothing tells a clear from a loss.

    The Dag run's start tells a re-created Dag run from the deleted one; it stays as it is while any task of the Dag
    run is unfinished. With ``on_clear="adopt"`` and no store every life is the same, and so is the Dag run after
    a clear; a run of a deleted Dag run is then told by its time. Iterations of a task loop (Airflow 3.4) are tasks of
    their own.

    :param context: of the running task.
    :param policy: what the author wants to become of the run.
    """
    ti: Any = context["ti"]
    dag_run: Any = context["dag_run"]
    # What a store remembers, nobody has to find again by its name.
    forgets = state_store(context) is None
    is_any_life = policy.on_clear == "adopt" and forgets
    began = getattr(dag_run, "run_after", None) if is_any_life else dag_run.start_date
    return TaskIdentity(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        # The Dag run's row id is there in Airflow 2 only.
        incarnation=f"{getattr(dag_run, 'id', '')}/{began.isoformat() if began else ''}{_iteration(ti)}",
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        life="" if is_any_life else _life(context, policy, forgets),
    )


def _iteration(ti: Any) -> str:
    region, index = getattr(ti, "region_id", None), getattr(ti, "region_index", None)
    return "" if region is None and index is None else f"/{region}/{index}"


def _life(context: Context, policy: RunPolicy, forgets: bool) -> str:
    signs = signs_of(context)
    if not policy.durable:
        return f"{signs.max_tries}/{signs.try_number}"
    if not forgets:
        return f"{signs.max_tries}/{signs.try_number}/{signs.clear_number}"
    successes = earlier_successes(context["ti"])
    return f"{signs.max_tries}/{successes}" if successes else str(signs.max_tries)


def cleared_since(then: Signs, now: Signs, begun_alone: Callable[[], bool | None]) -> tuple[bool | None, str]:
    """Say whether a person has cleared the task since an earlier try; None where nothing tells.

    1. ``max_tries`` differs: a clear has set it, nothing else does.
    2. Nobody has cleared anything in the Dag run: it was a retry, whatever became of the ``retries`` of the Dag.
    3. Something was cleared, and this is the first try that ``max_tries`` allows after a clear: it was this task,
       whose new ``max_tries`` happens to be the old one (``retries`` was lowered).
    4. Something was cleared, and no other task of the Dag run has begun: it was this task, while it ran, for
       then its ``max_tries`` stays.
    5. Something was cleared while this task ran: this task, or another one. A process that was still there has
       cancelled the run, so the answer matters only if it was lost too.

    :param then: the signs of the try that left the record.
    :param now: the signs of this try.
    :param begun_alone: asks Airflow whether no other task of the Dag run has begun; None for no answer.
    """
    if now.max_tries != then.max_tries:
        return True, f"its max_tries went from {then.max_tries} to {now.max_tries}"
    if then.clear_number is None or now.clear_number is None or then.clear_number == now.clear_number:
        return False, "no task of the Dag run was cleared"
    if now.try_number == now.max_tries - now.retries + 1:
        return True, "its tries are counted from the start"
    if begun_alone():
        return True, "a task of the Dag run was cleared, and no other one has begun"
    return None, "a task of the Dag run was cleared, this one or another one"


def begun_alone(context: Context) -> bool | None:
    """Ask Airflow whether no other task of the Dag run has begun; None for no answer."""
    try:
        return only_we_have_begun(context["ti"])
    except Exception:  # noqa: BLE001 - whatever it is, it is no answer
        return None
