"""How the library's texts are spelt at a shell: they name Python's calls and arguments, and here commands and options.

A text between single quotes is data, and stays as it is. So does a call that is for one who mends the program.
"""

from __future__ import annotations

import re
import shlex
from typing import Final
from uuid import UUID

from typing_extensions import override

from saga_fn.admin.filter_fields import FILTER_FIELDS
from saga_fn.admin.text_fields import parts_of, text_of
from saga_fn.admin.verb_fields import VERB_FORMS
from saga_fn.core.verbs import Verb
from saga_fn.explanation import Spelling, VerbPreview
from saga_fn.snapshot import Pause

_CALLS: Final = {
    "get_saga(saga_id).attributes": "saga-fn show ID",
    "SagaAdmin.get_saga": "saga-fn show ID",
    "get_saga": "saga-fn show ID",
    "run.snapshot() tells": "saga-fn show ID tells",
    "SagaAdmin.explain": "saga-fn explain ID",
    "SagaAdmin.kept_events": "saga-fn kept list",
    "SagaAdmin.outgoing": "saga-fn outgoing list",
    "SagaAdmin.pauses": "saga-fn pauses",
    "SagaAdmin.abort": "saga-fn abort ID",
    "SagaAdmin.export": "saga-fn export",
    "SagaAdmin.resume, resume_all or resume_saga": "saga-fn resume NAME, saga-fn resume --all or saga-fn resume-saga ID",
    "call SagaOrchestrator.resume(saga_id)": "saga-fn resume-saga ID",
    "list_operations of SagaAdmin": "saga-fn operations list",
    "SagaFilter(status=SagaStatus.FAILED, acknowledged=False)": "saga-fn list --status FAILED --no-acknowledged",
    "SagaFilter(saga_name=...)": "--name",
    "retention=Retention(completed=timedelta(days=30))": "--completed 30d",
    "drop_months(ended=True)": "saga-fn drop-months --ended",
    "skip_step(..., not_begun=True)": "saga-fn skip-step ID STEP --not-begun",
    "register it in this process": "name the orchestrator that has registered it: --app module:orchestrator",
    "give another key": "give another --idempotency-key",
    "pause(name, may_be_new=True)": "saga-fn pause NAME --may-be-new",
    "but=[ReplayKind.INCOMPLETE], or --but incomplete": "--but incomplete",
    "pause_all() and resume_all() are for all": "--all is for all",
    "resume or resume_all": "saga-fn resume NAME or saga-fn resume --all",
    "python -m saga_fn.store.migrate --dsn ...": "saga-fn migrate",
}
"""Calls, and the commands for them: a longer one stands before those that are part of it."""
_OTHERWISE: Final = {"saga_name": "name", "actor": "by"}
"""Arguments whose options have another name."""
_ARGUMENTS: Final = (
    *(field.name for field in FILTER_FIELDS),
    *(field.name for form in VERB_FORMS.values() for field in form.fields),
    *("expect", "after", "limit", "oldest_first", "dry_run", "everything", "per_second", "idempotency_key", "actor"),
    *("ended", "journal_partitions", "completed", "compensated", "failed", "tombstone"),
)
"""The arguments of `SagaAdmin` and of the functions beside it that a command has as options."""
_ARGUMENT: Final = re.compile(
    rf"\b(?P<name>{'|'.join(sorted(set(_ARGUMENTS), key=len, reverse=True))})="
    r"(?:(?P<flag>True|False)|[A-Z]\w+\.(?P<member>[A-Z_]+)|(?P<value>[\w{}]+))?"
)
_DATA: Final = re.compile(r"""(\bforget=\[(?:"(?:[^"\\]|\\.)*"|[^\]"])*\]|(?<!\w)'[^']*')""")
"""A list of steps as JSON, and a text between single quotes."""
_BARE: Final = re.compile(rf"\b(?P<name>{'|'.join(sorted({each for each in _ARGUMENTS if '_' in each}))})\b")
_VERB: Final = re.compile(rf"\b({'|'.join(verb.value for verb in Verb if '_' in verb.value)})\b")
_LEFT: Final = re.compile(r"(\w\([^()]*\))")
"""Calls of one who mends the program."""


def in_commands(text: str) -> str:
    """A text of the library, as one who types commands reads it.

    >>> in_commands("see steps of SagaAdmin.get_saga; waits=WaitReason.PARKED, or retry_step")
    'see steps of saga-fn show ID; --waits parked, or retry-step'
    """
    return "".join(_data(each) if place % 2 else _words(each) for place, each in enumerate(_DATA.split(text)))


def _data(text: str) -> str:
    """Data as it is; of a list of steps the option, with the list as a shell reads it."""
    listed = text.removeprefix("forget=")
    return text if listed == text else f"--forget {shlex.quote(text_of(parts_of(listed)))}"  # they stand there as JSON


def _words(text: str) -> str:
    for call, command in _CALLS.items():
        text = text.replace(call, command)
    return "".join(
        each if place % 2 else _VERB.sub(_as_command, _BARE.sub(_as_option, _ARGUMENT.sub(_as_option, each)))
        for place, each in enumerate(_LEFT.split(text))
    )


def option_of(argument: str) -> str:
    """The option for an argument, without dashes in front.

    >>> option_of("saga_name"), option_of("older_than")
    ('name', 'older-than')
    """
    return _OTHERWISE.get(argument, argument).replace("_", "-")


def _as_command(found: re.Match[str]) -> str:
    return found[1].replace("_", "-")


def _as_option(found: re.Match[str]) -> str:
    said, option = found.groupdict(), option_of(found["name"])
    if said.get("flag") is not None:
        return f"--{option}" if said["flag"] == "True" else f"--no-{option}"
    member = said.get("member")
    if member is not None:
        return f"--{option} {member if option == 'status' else member.lower()}"
    value = said.get("value")
    return f"--{option} {value}" if value else f"--{option}"


_OF_AN_ID: Final = re.compile(r"(\bsaga-fn [a-z-]+ )ID\b")


class _InCommands(Spelling):
    """The same for an explanation, with the id of its saga where that is known."""

    def __init__(self, saga_id: UUID | None = None) -> None:
        self._id = "ID" if saga_id is None else str(saga_id)

    @override
    def verb(self, verb: Verb) -> str:
        return verb.value.replace("_", "-")

    @override
    def call(self, preview: VerbPreview) -> str:
        step = "" if preview.step_id is None else f" {shlex.quote(preview.step_id)}"
        values = [field for field in VERB_FORMS[preview.verb].fields if field.name in ("output", "mock_output")]
        return f"saga-fn {self.verb(preview.verb)} {self._id}{step}" + "".join(
            f" --{field.option} JSON" for field in values
        )

    @override
    def resume(self, pause: Pause) -> str:
        if pause.saga_id is not None:
            return f"saga-fn resume-saga {pause.saga_id}"
        return f"saga-fn resume {'--all' if pause.saga_name is None else shlex.quote(pause.saga_name)}"

    @override
    def of_messages(self, verb: str) -> str:
        return f"saga-fn outgoing {verb} ID"

    @override
    def mend(self, said: str) -> str:
        return _OF_AN_ID.sub(rf"\g<1>{self._id}", in_commands(said))


def commands_for(saga_id: UUID) -> Spelling:
    """The commands of `saga-fn` for one saga: they may be copied as they stand."""
    return _InCommands(saga_id)


IN_COMMANDS: Final = _InCommands()
"""The commands of `saga-fn`."""
