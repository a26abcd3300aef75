"""Help names every command and flag, and its examples are right."""

from __future__ import annotations

import re

from small import REPOSITORY

from ssl_patches.cli import help as words
from ssl_patches.cli import main
from ssl_patches.cli.commands import COMMANDS, HELP
from ssl_patches.config import mixture


def commands_in(text: str) -> list[str]:
    """The commands that a text shows, ``ssl-patches COMMAND``, each once, in order."""
    return list(
        dict.fromkeys(re.findall(r"^\s*(?:\$ )?ssl-patches (\w+)", text, flags=re.MULTILINE))
    )


def test_help_lists_every_command_once_and_each_help_has_an_example(capsys):
    assert main(["--help"]) == 0
    assert commands_in(capsys.readouterr().out) == list(COMMANDS) == list(HELP)
    for command, text in HELP.items():
        assert text.count(f"ssl-patches {command} ") >= (1 if command == "list" else 2)


def test_help_names_every_flag_that_is_taken_and_no_other():
    for command, allowed in words.ALLOWED_FLAGS.items():
        assert set(re.findall(r"--[a-z-]+", HELP[command])) == set(allowed), command


def test_commands_in_help_and_readme_compose():
    """An example that is refused is worse than none."""
    from ssl_patches.config.schema import PRETRAIN, SUPPLIED

    texts = [*HELP.values(), (REPOSITORY / "README.md").read_text(encoding="utf-8")]
    shown = [
        line
        for text in texts
        for line in re.findall(
            r"^ *ssl-patches pretrain ((?:[\w.~]+=\S+ *)+)(?:#.*|  .*)?$", text, flags=re.MULTILINE
        )
    ]
    assert len(shown) >= 4
    for line in shown:
        mixture.request(line.split(), supplied=SUPPLIED, schema=PRETRAIN)
