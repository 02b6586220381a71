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
"""What the promise of exactly one run rests on, and how each of it is taken away: mutants and their guards."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MUTATIONS", "Mutation"]

IDENTITY = "run/launch/identity.py"
STATES = "run/outcome/states.py"
LINES = "run/logs/lines.py"
TEXT = "run/logs/text.py"
FINDER = "lifecycle/launch/find_or_submit.py"
SIGNS = "lifecycle/owner/identity.py"
VERDICT = "lifecycle/end/verdict.py"
TEST_IDENTITY = "tests/unit/run/launch/test_identity.py"
TEST_STATES = "tests/unit/run/outcome/test_states.py"
TEST_LOGS = "tests/unit/run/logs/test_logs.py"
TEST_TEXT = "tests/unit/run/logs/test_log_text.py"
TEST_FINDER = "tests/unit/lifecycle/launch/test_find_or_submit.py"
TEST_VERDICT = "tests/unit/lifecycle/end/test_verdict.py"


@dataclass(frozen=True)
class Mutation:
    """Something that the promise rests on, and how to take it away.

    :param name: what it is.
    :param file: where it is, inside the package.
    :param line: what stands there, once.
    :param without: what stands there without it.
    :param tests: the file of the guard.
    :param guard: the test that must fail then.
    """

    name: str
    file: str
    line: str
    without: str
    tests: str
    guard: str

    @property
    def node(self) -> str:
        """The guard as pytest names it."""
        return f"{self.tests}::{self.guard}"


MUTATIONS = (
    Mutation(
        "identity: the Dag run",
        IDENTITY,
        "astuple(self), generation",
        "astuple(self)[:1], *astuple(self)[2:], generation",
        TEST_IDENTITY,
        "test_tokens_differ_when_anything_differs",
    ),
    Mutation(
        "identity: the generation",
        IDENTITY,
        "[*astuple(self), generation]",
        "[*astuple(self)]",
        TEST_IDENTITY,
        "test_tokens_differ_when_anything_differs",
    ),
    Mutation(
        "identity: fields apart",
        IDENTITY,
        "text = json.dumps([*astuple(self), generation], ensure_ascii=True)",
        'text = "/".join(map(str, [*astuple(self), generation]))',
        TEST_IDENTITY,
        "test_the_token_is_pinned",
    ),
    Mutation(
        "identity: length of the token",
        IDENTITY,
        "hashlib.sha256(text.encode()).hexdigest()",
        "hashlib.sha512(text.encode()).hexdigest()",
        TEST_IDENTITY,
        "test_a_token_fits_the_api",
    ),
    Mutation(
        "identity: content of the launch directory",
        IDENTITY,
        "for part in (artifact.path.encode(), artifact.content):",
        "for part in (artifact.path.encode(),):",
        TEST_IDENTITY,
        "test_a_repeated_launch_writes_to_the_same_directory",
    ),
    Mutation(
        "identity: order of the launch files",
        IDENTITY,
        "sorted(artifacts, key=lambda artifact: artifact.path)",
        "list(artifacts)",
        TEST_IDENTITY,
        "test_a_repeated_launch_writes_to_the_same_directory",
    ),
    Mutation(
        "states: a result ends a run",
        STATES,
        "self.life_cycle in TERMINAL_LIFE_CYCLES or self.result in TERMINAL_RESULTS",
        "self.life_cycle in TERMINAL_LIFE_CYCLES",
        TEST_STATES,
        "test_a_result_ends_a_run",
    ),
    Mutation(
        "states: a life cycle ends a run",
        STATES,
        "self.life_cycle in TERMINAL_LIFE_CYCLES or self.result in TERMINAL_RESULTS",
        "self.result in TERMINAL_RESULTS",
        TEST_STATES,
        "test_a_terminal_life_cycle_ends_a_run",
    ),
    Mutation(
        "states: an internal error ends a run",
        STATES,
        'frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})',
        'frozenset({"TERMINATED", "SKIPPED"})',
        TEST_STATES,
        "test_the_words_that_end_a_run_are_these",
    ),
    Mutation(
        "states: success by its name alone",
        STATES,
        'return self.result == "SUCCESS"\n',
        'return self.result.startswith("SUCCESS")\n',
        TEST_STATES,
        "test_success_only_by_name",
    ),
    Mutation(
        "states: nothing that has ended waits",
        STATES,
        "return not self.is_terminal and self.life_cycle in WAITING_LIFE_CYCLES",
        "return self.life_cycle in WAITING_LIFE_CYCLES",
        TEST_STATES,
        "test_a_run_with_a_result_does_not_wait",
    ),
    Mutation(
        "states: the newest attempt",
        STATES,
        "return max(self.attempts, key",
        "return min(self.attempts, key",
        TEST_STATES,
        "test_a_run_between_two_attempts_waits",
    ),
    Mutation(
        "states: numbers as text",
        STATES,
        "isinstance(value, int | str) and",
        "isinstance(value, int) and",
        TEST_STATES,
        "test_numbers_may_come_as_text",
    ),
    Mutation(
        "states: the newer form",
        STATES,
        'state.get("life_cycle_state") or status.get("state") or "UNKNOWN"',
        'state.get("life_cycle_state") or "UNKNOWN"',
        TEST_STATES,
        "test_the_newer_form_of_the_state_suffices",
    ),
    Mutation(
        "states: the attempt's reason first",
        STATES,
        "[state.reason for state in [*states, self.state]]",
        "[state.reason for state in [self.state, *states]]",
        TEST_STATES,
        "test_failed_run_as_the_service_rolls_it_up",
    ),
    Mutation(
        "logs: each line once",
        LINES,
        "if each[1] not in seen and not",
        "if not",
        TEST_LOGS,
        "test_a_busy_log_is_complete_although_most_readings_go_back_only_a_little",
    ),
    Mutation(
        "logs: late records",
        LINES,
        "latest - OVERLAP",
        "latest",
        TEST_LOGS,
        "test_a_busy_log_is_complete_although_most_readings_go_back_only_a_little",
    ),
    Mutation(
        "logs: remembers while it may be read again",
        LINES,
        "for second in by_second if second < floor]",
        "for second in by_second]",
        TEST_LOGS,
        "test_a_busy_log_is_complete_although_most_readings_go_back_only_a_little",
    ),
    Mutation(
        "logs: remembers over a resume",
        LINES,
        "            self._seen.add(key)\n",
        "            pass\n",
        TEST_LOGS,
        "test_a_busy_log_is_complete_although_most_readings_go_back_only_a_little",
    ),
    Mutation(
        "logs: busy logs go back now and then",
        LINES,
        "or now - self._swept_at >= SWEEP_EVERY",
        "",
        TEST_LOGS,
        "test_a_busy_log_is_complete_although_most_readings_go_back_only_a_little",
    ),
    Mutation(
        "logs: control characters are shown",
        TEXT,
        "    if _UNSAFE.search(line):\n",
        "    if False:\n",
        TEST_TEXT,
        "test_ordinary_text_is_unchanged_and_what_disturbs_a_log_becomes_visible",
    ),
    Mutation(
        "logs: a long line is cut",
        TEXT,
        "    line = line[:LONGEST_LINE]\n",
        "",
        TEST_TEXT,
        "test_a_very_long_line_is_cut_and_says_how_long_it_was",
    ),
    Mutation(
        "logs: a progress bar's last state",
        TEXT,
        'for part in reversed(line.split("\\r"))',
        'for part in line.split("\\r")',
        TEST_TEXT,
        "test_ordinary_text_is_unchanged_and_what_disturbs_a_log_becomes_visible",
    ),
    Mutation(
        "life: the store is asked",
        FINDER,
        "        record = self.memory.read()\n",
        "        record = None\n",
        TEST_FINDER,
        "test_a_clear_starts_a_fresh_run_and_ends_the_old_one",
    ),
    Mutation(
        "life: max_tries tells a clear",
        SIGNS,
        "    if now.max_tries != then.max_tries:\n",
        "    if False:\n",
        TEST_FINDER,
        "test_a_clear_starts_a_fresh_run_and_ends_the_old_one",
    ),
    Mutation(
        "life: a failed run is not followed",
        FINDER,
        '        if run is not None and (run.is_success or not run.is_terminal):\n            log.info("Run %s of an earlier try is %s; following it", run.run_id, run.phase)\n            if cleared',
        '        if run is not None:\n            log.info("Run %s of an earlier try is %s; following it", run.run_id, run.phase)\n            if cleared',
        TEST_FINDER,
        "test_a_retry_after_a_failed_run_starts_a_fresh_one",
    ),
    Mutation(
        "life: a new generation after a failure",
        FINDER,
        "return Record(None, record.life, record.generation + 1)",
        "return Record(None, record.life, record.generation)",
        TEST_FINDER,
        "test_a_retry_after_a_failed_run_starts_a_fresh_one",
    ),
    Mutation(
        "life: execution_timeout cancels",
        VERDICT,
        "    if timed_out:\n",
        "    if False:\n",
        TEST_VERDICT,
        "test_what_ends_a_worker_decides_over_the_run",
    ),
    Mutation(
        "life: a newer attempt has taken over",
        VERDICT,
        "seen.try_number is not None and seen.try_number > try_number:\n        return Verdict(False",
        "False:\n        return Verdict(False",
        TEST_VERDICT,
        "test_what_ends_a_worker_decides_over_the_run",
    ),
    Mutation(
        "life: a person's act cancels",
        VERDICT,
        "    if seen is not None and seen.state in USER_STATES:\n",
        "    if False:\n",
        TEST_VERDICT,
        "test_what_ends_a_worker_decides_over_the_run",
    ),
    Mutation(
        "life: no answer is no person",
        VERDICT,
        '    if seen is None:\n        return Verdict(None, "Airflow does not answer',
        '    if seen is None:\n        return Verdict(True, "Airflow does not answer',
        TEST_VERDICT,
        "test_what_cancels_a_trigger_decides_over_the_run",
    ),
    Mutation(
        "life: another triggerer watches",
        VERDICT,
        '        return Verdict(False, "another triggerer watches the run")',
        '        return Verdict(True, "another triggerer watches the run")',
        TEST_VERDICT,
        "test_what_cancels_a_trigger_decides_over_the_run",
    ),
    Mutation(
        "life: a newer attempt's marker",
        VERDICT,
        "    if owner is not None and owner[0] > try_number:\n",
        "    if False:\n",
        TEST_VERDICT,
        "test_what_cancels_a_trigger_decides_over_the_run",
    ),
    Mutation(
        "life: a marker with another run",
        VERDICT,
        "    if owner is not None and owner[0] >= try_number and owner[1] != run_id:\n",
        "    if False:\n",
        TEST_VERDICT,
        "test_what_cancels_a_trigger_decides_over_the_run",
    ),
)
