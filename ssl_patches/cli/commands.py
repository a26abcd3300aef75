"""Run commands: one thin function for each; torch is imported only where a command works.

Exit codes: 0 done, 1 failed or stopped, 2 bad request (one line per problem on standard error,
nothing written).
"""

from __future__ import annotations

import difflib
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ssl_patches.cli.exports import run_export, run_push, run_verify
from ssl_patches.cli.failures import of_the_machine, own_words
from ssl_patches.cli.help import HELP, MAIN_HELP
from ssl_patches.cli.streams import outlive_readers
from ssl_patches.cli.typed import Typed, divided, told_aside
from ssl_patches.config.messages import BadRequest, Failed, Say
from ssl_patches.config.plain_text import (
    escape_what_cannot_be_encoded,
    escape_what_tracebacks_say,
    in_lines,
    tell,
)
from ssl_patches.training.process import before_torch

GROUPS = {
    "tasks": "task",
    "encoders": "encoder",
    "samplers": "sampler",
    "data": "data",
    "views": "views",
    "optimizers": "optimizer",
    "experiments": "experiment",
    "probes": "probe",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    before_torch()
    outlive_readers()
    escape_what_cannot_be_encoded()
    if argv is None:  # a program of its own, not a call of somebody's
        escape_what_tracebacks_say()
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        tell(in_lines(MAIN_HELP.splitlines()))
        return 0
    command, rest = words[0], words[1:]
    if command in ("--version", "version"):
        return _version()
    if command == "completion":
        return _completion(rest)
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        remedy = f"did you mean '{near[0]}'?" if near else f"choose among: {', '.join(COMMANDS)}"
        return _refuse(f"{command}: unknown command; {remedy}")
    if "-h" in rest or "--help" in rest:
        tell(in_lines(HELP[command].splitlines()))
        return 0
    try:
        return COMMANDS[command](divided(command, rest))
    except ValueError as error:  # raised by whoever knows the rule, BadRequest among them
        return _refuse(own_words(error))
    except Failed as error:
        return _refuse(error.told(_typed_again(command, rest)), code=1)
    except KeyboardInterrupt:  # a run that is training says more, see Interrupted
        return _refuse(f"{command}: stopped", code=1)
    except (OSError, RuntimeError, MemoryError) as error:
        if (told := of_the_machine(error)) is None:
            raise
        return _refuse(f"{command}: {told}", code=1)


def _typed_again(command: str, rest: Sequence[str]) -> str:
    """Return what was typed, quoted for a shell, without the keys that say where a run lies."""
    where = ("run_dir=", "resume=", "overwrite=")
    return shlex.join(["ssl-patches", command, *(w for w in rest if not w.startswith(where))]) + " "


def _refuse(message: str, *, code: int = 2) -> int:
    tell(message, sys.stderr)
    return code


def _pretrain(request: Typed) -> int:
    dry_run = "--dry-run" in request.flags
    if "--cfg" in request.flags:
        import yaml

        from ssl_patches.config import mixture

        cfg = mixture.compose(request.words, config_dirs=request.config_dirs)
        tell(in_lines(yaml.safe_dump(cfg, sort_keys=False).splitlines()))
        return 0
    if "--multirun" in request.flags:
        from ssl_patches.studies.command import sweep_command

        return sweep_command(
            request.words, config_dirs=request.config_dirs, dry_run=dry_run, say=told_aside
        )
    from ssl_patches.training.request import request_run as with_choices

    cfg, chosen = with_choices(request.words, config_dirs=request.config_dirs)
    from ssl_patches.training.lean_imports import load_lean

    load_lean(cfg)
    if dry_run:
        from ssl_patches.cli.dry_run import dry_run as rehearse

        tell(in_lines([*([chosen, ""] if chosen else []), rehearse(cfg)]))
        return 0
    from ssl_patches.cli.screens import last_screen
    from ssl_patches.training.processes import is_follower
    from ssl_patches.training.run import pretrain

    words = [*request.words, *(f"--config-dir={folder}" for folder in request.config_dirs)]
    say: Say = (lambda _: None) if is_follower() else told_aside
    if chosen:
        say(chosen)
    run_dir = pretrain(cfg, say=say, words=words)
    if not is_follower():
        tell(last_screen(run_dir))
    return 0


def _evaluate(request: Typed) -> int:
    from ssl_patches.evaluation.request import evaluate_request

    evaluate_request(request.words, config_dirs=request.config_dirs)  # refused before torch loads
    from ssl_patches.evaluation.command import evaluate_command

    rows, pairs, report = evaluate_command(
        request.words, config_dirs=request.config_dirs, say=told_aside
    )
    if "--json" in request.flags:
        tell(json.dumps([row.as_dict() for row in rows]))
        for line in report:
            told_aside(line)
        return 0
    from ssl_patches.evaluation.record import paired_table
    from ssl_patches.evaluation.rows import DIFFERENCE, table
    from ssl_patches.evaluation.verdict import coarse

    tell(table([row for row in rows if row.model != DIFFERENCE]))
    if said := coarse(rows):
        tell(in_lines(["", said]))
    if pairs:
        told = "the first less the second, on the same test images:"
        tell(in_lines(["", told, paired_table(pairs)]))
    if report:
        tell(in_lines(["", *report]))
    return 0


def _embed(request: Typed) -> int:
    import importlib.util

    if importlib.util.find_spec("pyarrow") is None:
        raise ValueError("embed: writes Parquet and needs pyarrow; install ssl-patches[parquet]")
    from ssl_patches.evaluation.request import embed_request

    embed_request(request.words, config_dirs=request.config_dirs)  # refused before torch loads
    from ssl_patches.evaluation.embed import embed_command

    found = embed_command(request.words, config_dirs=request.config_dirs, say=told_aside)
    if "--json" in request.flags:
        tell(json.dumps(found))
    return 0


def _duplicates(request: Typed) -> int:
    from ssl_patches.evaluation.request import duplicates_request

    duplicates_request(request.words, config_dirs=request.config_dirs)  # before torch loads
    from ssl_patches.evaluation.duplicates.command import duplicates_command

    found = duplicates_command(request.words, config_dirs=request.config_dirs, say=told_aside)
    if "--json" in request.flags:
        tell(json.dumps(found))
    return 0


def _view(request: Typed) -> int:
    from ssl_patches.studies.view.request import view_request

    asked = view_request(request.words, config_dirs=request.config_dirs)  # before torch loads
    from ssl_patches.studies.view.command import view_command

    return view_command(asked, say=told_aside)


def _study(request: Typed) -> int:
    from ssl_patches.studies.command import study_command

    dry_run = "--dry-run" in request.flags
    return study_command(
        request.words, config_dirs=request.config_dirs, dry_run=dry_run, say=told_aside
    )


def _runs(request: Typed) -> int:
    from ssl_patches.studies.listing import runs_command

    return runs_command(
        request.words, as_json="--json" in request.flags, yes="--yes" in request.flags
    )


def _compare(request: Typed) -> int:
    from ssl_patches.studies.compare.command import Wanted, compare

    metric, page, results = (request.value(flag) for flag in ("--metric", "--report", "--csv"))
    wanted = Wanted(
        metric=metric,
        mixed="--mixed" in request.flags,
        as_json="--json" in request.flags,
        markdown="--markdown" in request.flags,
        wandb="--wandb" in request.flags,
        tensorboard="--tensorboard" in request.flags,
        page=Path(page) if page else None,
        results=Path(results) if results else None,
    )
    return compare([Path(word) for word in request.words], wanted)


def _doctor(request: Typed) -> int:
    from ssl_patches import config
    from ssl_patches.config.schema import DOCTOR

    cfg = config.request("doctor", request.words, schema=DOCTOR)
    from ssl_patches.data.doctor import doctor_command
    from ssl_patches.data.doctor_report import report_text

    report = doctor_command(cfg)
    tell(json.dumps(report) if "--json" in request.flags else report_text(report))
    return 0


def _pack(request: Typed) -> int:
    from ssl_patches import config
    from ssl_patches.config.schema import PACK

    cfg = config.request("pack", request.words, schema=PACK)
    from ssl_patches.data.shards.pack import pack_command

    found = pack_command(cfg, say=told_aside)
    if "--json" in request.flags:
        tell(json.dumps(found))
    return 0


def _list(request: Typed) -> int:
    from ssl_patches.config import files as conf_files

    if len(request.words) != 1 or request.words[0] not in GROUPS:
        near = difflib.get_close_matches(" ".join(request.words), GROUPS, n=1)
        remedy = f"did you mean '{near[0]}'?" if near else f"choose among: {', '.join(GROUPS)}"
        raise BadRequest([f"list {' '.join(request.words)}: takes one group; {remedy}"])
    group = GROUPS[request.words[0]]
    origins = conf_files.origins(group, config_dirs=request.config_dirs)
    for name, about in conf_files.with_comments(group, config_dirs=request.config_dirs):
        listed = conf_files.LISTED.get(group)
        word = f"{listed}=[{name}]" if listed else f"{group}={name:24}"
        tell(f"{word} {about}".rstrip() + (f" [{origins[name]}]" if name in origins else ""))
    return 0


def _version() -> int:
    from ssl_patches import __version__

    tell(__version__)
    return 0


def _completion(rest: Sequence[str]) -> int:
    from ssl_patches.cli.completion import SHELLS, answers

    if rest[:1] == ["words"]:
        if found := answers(rest[1:], commands=list(COMMANDS), groups=list(GROUPS)):
            tell(in_lines(found))
        return 0
    if len(rest) != 1 or rest[0] not in SHELLS:
        return _refuse("completion: give a shell, bash or zsh")
    tell(in_lines(SHELLS[rest[0]].splitlines()))
    return 0


COMMANDS: dict[str, Callable[[Typed], int]] = {
    "pretrain": _pretrain,
    "evaluate": _evaluate,
    "export": run_export,
    "verify": run_verify,
    "push": run_push,
    "embed": _embed,
    "duplicates": _duplicates,
    "study": _study,
    "runs": _runs,
    "compare": _compare,
    "view": _view,
    "doctor": _doctor,
    "pack": _pack,
    "list": _list,
}
