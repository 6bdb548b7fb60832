"""Every command of `saga-fn`, with an example for its help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cyclopts import App, Group

from saga_fn.admin.filter_fields import FILTER_FIELDS
from saga_fn.admin.text_fields import FieldKind
from saga_fn.admin.verb_fields import VERB_FORMS, VerbForm
from saga_fn.cli import keeping, kept, looking, recorded, replaying, unsent, working
from saga_fn.cli.acting import bulk_command, verb_command
from saga_fn.cli.doctor import doctor
from saga_fn.cli.options import with_fields
from saga_fn.cli.spelling import in_commands
from saga_fn.cli.watching import watch

Command = Callable[..., Any]  # Any: commands have any parameters, and give an Answer, a number or a coroutine of one

_LOOK: Final = Group("Look", sort_key=1)
_ACT: Final = Group("Act on one saga", sort_key=2)
_MANY: Final = Group("Act on many", sort_key=3)
_KEEP: Final = Group("Run and keep", sort_key=4)
_ID: Final = "01a225a8-f4ff-8e62-81e9-70c12026bec3"
_EXAMPLES: Final = {
    FieldKind.STEP: "charge",
    FieldKind.JSON: """'{"payment_id": "p-1"}'""",
    FieldKind.STEPS: "charge,ship",
}


def add_commands(app: App) -> None:
    """Add them all."""
    filtered = with_fields(looking.list_sagas, {"wanted": FILTER_FIELDS}, name="list")
    verified = with_fields(looking.verify, {"wanted": FILTER_FIELDS}, name="verify")
    exported = with_fields(replaying.export, {"wanted": FILTER_FIELDS}, name="export")
    _add(
        app,
        _LOOK,
        "list",
        filtered,
        "list --waits parked --name shipping",
        "list --status FAILED --no-acknowledged --json",
    )
    _add(app, _LOOK, "show", looking.show, f"show {_ID} --payloads")
    _add(app, _LOOK, "explain", looking.explain, f"explain {_ID}")
    _add(app, _LOOK, "timeline", looking.timeline, f"timeline {_ID}", f"timeline {_ID} --format svg -o saga.svg")
    _add(
        app,
        _LOOK,
        "diagram",
        looking.diagram,
        f"diagram {_ID}",
        "diagram shipping --app shop.main:orchestrator --format mermaid",
    )
    _add(app, _LOOK, "verify", verified, f"verify {_ID}", "verify --active --name shipping")
    _add(app, _LOOK, "export", exported, f"export {_ID} -o saga.jsonl", "export --active --output live.jsonl")
    _add(app, _LOOK, "replay", replaying.replay, "replay live.jsonl --app shop.main:orchestrator")
    _add(app, _LOOK, "stats", looking.stats, "stats --json")
    _add(app, _LOOK, "watch", watch, f"watch {_ID}", "watch --every 5s")
    _add(app, _LOOK, "doctor", doctor, "doctor --dsn postgresql://user@host/database")
    for form in VERB_FORMS.values():
        _add(app, _ACT, _spelt(form), verb_command(form), _example(form), about=in_commands(form.summary))
    _add_bulk(app)
    _add_operations(app)
    _add(app, _MANY, "pause", recorded.pause, "pause shipping --reason 'the bank is down'", "pause --all")
    _add(app, _MANY, "resume", recorded.resume, "resume shipping --reason 'the bank is back'")
    _add(app, _MANY, "pauses", recorded.pauses, "pauses")
    _add_kept(app)
    _add_outgoing(app)
    _add(app, _KEEP, "worker", working.worker, "worker shop.main:orchestrator")
    _add(app, _KEEP, "console", working.console, "console --port 8420")
    _add(app, _KEEP, "demo", working.demo, "demo --console")
    _add(
        app,
        _KEEP,
        "migrate",
        keeping.migrate,
        "migrate --dry-run",
        "migrate --grant worker=shop_worker --grant viewer=shop_web",
    )
    _add(app, _KEEP, "prune", keeping.prune, "prune shipping --version 1 --completed 30d --dry-run")
    _add(app, _KEEP, "drop-months", keeping.drop_months, "drop-months --dry-run", "drop-months --ended --yes")
    _add(
        app,
        _KEEP,
        "completion",
        working.completion_of(app),
        "completion bash > ~/.local/share/bash-completion/completions/saga-fn",
    )


def _add_bulk(app: App) -> None:
    bulk = App(
        name="bulk",
        help="Apply a verb to all sagas that a filter finds. Its preview is shown before it asks.",
        group=_MANY,
    )
    for form in VERB_FORMS.values():
        places = " ".join(_EXAMPLES[field.kind] for field in form.fields if field.is_required)
        example = f"bulk {_spelt(form)} {places}".rstrip() + " --name shipping --waits parked"
        _add(
            bulk,
            None,
            _spelt(form),
            bulk_command(form),
            f"{example} --dry-run",
            f"{example} --reason OPS-12",
            about=in_commands(form.summary),
        )
    app.command(bulk)


def _add_operations(app: App) -> None:
    operations = App(
        name="operations", help="Look at what operators have done, stop it, and let it go on.", group=_MANY
    )
    _add(operations, None, "list", recorded.list_operations, "operations list --limit 50")
    _add(operations, None, "show", recorded.show_operation, f"operations show {_ID}")
    _add(operations, None, "stop", recorded.stop_operation, f"operations stop {_ID}")
    _add(operations, None, "continue", recorded.continue_operation, f"operations continue {_ID}")
    app.command(operations)


def _add_kept(app: App) -> None:
    events = App(
        name="kept",
        help="Look at events that are kept for sagas that are not there yet, and discard them.",
        group=_MANY,
    )
    _add(events, None, "list", kept.list_kept, "kept list shipping --payloads")
    _add(events, None, "discard", kept.discard, "kept discard shipping order-7 approval --reason OPS-12")
    app.command(events)


def _add_outgoing(app: App) -> None:
    messages = App(
        name="outgoing",
        help="Look at outgoing messages that are not published, and decide about those that are dead.",
        group=_MANY,
    )
    _add(messages, None, "list", unsent.list_unsent, "outgoing list", f"outgoing list {_ID} --payloads")
    _add(messages, None, "redrive", unsent.redrive, f"outgoing redrive {_ID} --reason OPS-12")
    _add(messages, None, "discard", unsent.discard, f"outgoing discard {_ID} --reason OPS-12")
    app.command(messages)


def _add(app: App, group: Group | None, name: str, command: Command, *examples: str, about: str | None = None) -> None:
    shown = "\n".join(f"  $ saga-fn {each}" for each in examples)
    epilogue = f"{'Example' if len(examples) == 1 else 'Examples'}:\n{shown}"
    app.command(command, name, help=about or command.__doc__, help_epilogue=epilogue, group=group)


def _spelt(form: VerbForm) -> str:
    return form.verb.replace("_", "-")


def _example(form: VerbForm) -> str:
    places = [_EXAMPLES[field.kind] for field in form.fields if field.is_required]
    values = [
        f"--{field.option} {_EXAMPLES[field.kind]}"
        for field in form.fields
        if field.kind in (FieldKind.JSON, FieldKind.STEPS)
    ]
    return " ".join([_spelt(form), _ID, *places, *values, "--reason OPS-12"])
