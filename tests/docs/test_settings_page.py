"""The page of settings: every key there is, none that is gone, each with its type, its default,
what it means and why."""

from __future__ import annotations

import re
import sys
from functools import cache

import pytest
import yaml
from small import REPOSITORY

from ssl_patches import config
from ssl_patches.config import files as conf_files
from ssl_patches.config import schema
from ssl_patches.config.check import live
from ssl_patches.config.instantiate import knobs_of
from ssl_patches.config.schema import SUPPLIED, channels_of
from ssl_patches.data import build as build_data

sys.path.insert(0, str(REPOSITORY / "docs"))
import settings_page
from settings_page import REQUIRED, Key

CONF = conf_files.conf_dir()
PROSE = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


@cache
def page() -> str:
    return settings_page.page()


def on_the_page() -> list[str]:
    """The keys as a reader finds them: bold terms of the text itself."""
    return re.findall(r"^`([\w.]+)` · ", page(), flags=re.MULTILINE)


def settable(group: str, name: str) -> set[str]:
    """What may be set with ``GROUP=NAME``, found by composing it as a command does: not the way the
    page is made."""
    tree = conf_files.read_yaml([CONF], f"{group}/{name}")
    given = {"_target_": "ssl_patches.data.EmbeddedSource"}
    needed = [
        f"{group}.{key}={given.get(key, 'x')}" for key, value in tree.items() if value == "???"
    ]
    needed += (
        ["data.root=x"] if (group, name) in {("data", "cifar10"), ("data", "imagenette160")} else []
    )
    composed = config.compose("pretrain", [f"{group}={name}", *needed])[group] or {}

    def below(node: object, at: str):
        if isinstance(node, dict) and "_target_" in node:
            yield from (f"{at}.{knob}" for knob in set(knobs_of(node) or ()) - live(SUPPLIED, at))
        for key, value in node.items() if isinstance(node, dict) else ():
            yield from below(value, f"{at}.{key}")

    return set(below(composed, group))


def test_every_key_of_every_group_is_on_the_page_and_no_other():
    groups = {place.name for place in CONF.iterdir() if place.is_dir()} - conf_files.LISTED.keys()
    assert groups == set(settings_page.GROUPS)
    wanted = {
        key
        for group in groups - {"experiment"}
        for name in conf_files.options(group)
        for key in settable(group, name)
    }
    wanted |= {f"data.{key}" for key in schema.LOADER}
    found = {key for key in on_the_page() if key.partition(".")[0] in groups}
    assert found - {"data._target_", "data.root"} == wanted - {"data.root"}
    assert {"data._target_", "data.root"} <= found


@pytest.mark.parametrize("command", settings_page.COMMANDS)
def test_every_key_of_a_command_is_on_the_page_and_no_other(command):
    def leaves(kinds: dict, at: str = ""):
        for key, kind in kinds.items():
            yield from leaves(kind, f"{at}{key}.") if isinstance(kind, dict) else [f"{at}{key}"]

    types = getattr(schema, settings_page.COMMANDS[command])
    wanted = {
        key
        for key in leaves(types)
        if key.partition(".")[0] not in (settings_page.GROUPS if command == "pretrain" else ())
    }
    assert {key.name for key in settings_page.command_keys(command)} == wanted


def test_every_choice_of_every_group_is_on_the_page():
    text = page()
    for group in settings_page.GROUPS:
        for name in conf_files.options(group):
            assert f"| `{group}={name}` | " in text


@pytest.mark.parametrize("key", settings_page.page_keys(), ids=lambda key: key.name)
def test_every_key_says_what_it_means_and_why_its_default_is_what_it_is(key: Key):
    assert len(key.meaning) > 5, (
        f"{key.name}: no meaning in the docstring of its constructor, or in the comment of its YAML"
    )
    if key.default is None:
        assert "null" in key.meaning.lower() or "none" in key.meaning.lower(), (
            f"{key.name}: what does null do?"
        )
    elif key.default is not REQUIRED:
        assert len(key.why) > 3, f"{key.name}: why is {key.default} the default?"


def test_defaults_are_those_of_a_composed_run():
    composed = config.compose("pretrain", [])
    for key in settings_page.command_keys("pretrain"):
        value = composed
        for part in key.name.split("."):
            value = value[part]
        assert key.default == value, key
    of = {key.name: key.default for key in settings_page.loader_keys()}
    assert (
        composed["data"]["batch_size"] != of["data.batch_size"] == 256
    )  # embedded images come in smaller batches
    assert channels_of({"data": {}}) == of["data.channels"]
    same = [
        build_data.pixel_statistics({"data": given})
        for given in ({}, {"statistics": of["data.statistics"]})
    ]
    assert same[0] == same[1]


def test_a_new_key_without_a_word_about_it_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "new_task.py").write_text(
        'class Rotation:\n    """``turns``: how many. Why: four."""\n    def __init__(self, *, dim:'
        " int, grid: object, turns: int = 4, odd: int = 1) -> None: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    turns, odd = settings_page.keys_of("new_task.Rotation", "task")
    assert (turns.name, turns.default, turns.meaning, turns.why) == (
        "task.turns",
        4,
        "how many.",
        "four.",
    )
    with pytest.raises(AssertionError, match=r"task\.odd: no meaning"):
        test_every_key_says_what_it_means_and_why_its_default_is_what_it_is(odd)


def test_what_stands_behind_a_key_is_its_own():
    text = "One. ``a``, ``b``: first; 3 of ``c``. Why: so: ``d``. ``e``: second, ``f``: third"
    assert settings_page.entries(text) == {
        "a": ("first; 3 of ``c``.", "so: ``d``."),
        "b": ("first; 3 of ``c``.", "so: ``d``."),
        "e": ("second", ""),
        "f": ("third", ""),
    }


def unknown_keys(text: str, known: set[str]) -> set[str]:
    """Dotted keys that a text names (``task.mask_ratio``, ``sampler.colour.grey=0.3``) and that are
    no settings."""
    text = re.sub(
        r"```python.*?```|<!--.*?-->|^\$ .*?```", "", text, flags=re.DOTALL | re.MULTILINE
    )
    groups = "|".join([*settings_page.GROUPS, "evaluation", "budget"])
    named = re.findall(rf"(?<![\w./-])((?:{groups})(?:\.[a-z_]+)+)(?=[=\s`'\"\]),;:]|\.\s|$)", text)
    files = (".npz", ".yaml", ".py", ".csv", ".md", "_cfg")
    named = [key for key in named if not key.endswith(files)]
    several = "|".join(conf_files.options("logger"))  # of several, settings stand below the name
    named = [re.sub(rf"^logger\.(?:{several})\.", "logger.", key) for key in named]
    inner = {key.rpartition(".")[0] for key in known}
    return {
        key for key in named if key not in known | inner and not key.startswith("encoder.options.")
    }


@pytest.mark.parametrize("place", PROSE, ids=lambda place: place.name)
def test_no_page_names_a_key_that_is_gone(place):
    assert unknown_keys(place.read_text(encoding="utf-8"), set(on_the_page())) == set()


def test_a_key_that_is_gone_would_be_noticed():
    known = {"task.mask_ratio", "sampler.colour.grey"}
    assert unknown_keys("`task.mask_ratio=0.6`, task.masking `sampler.colour.gray=1`", known) == {
        "task.masking",
        "sampler.colour.gray",
    }


def test_comments_of_yaml_files_are_read_where_they_stand():
    text = "# a file\nseed: 0 # one\nbudget: # two\n  # above\n  images: null # and beside\n"
    assert settings_page._comments(text) == {
        "seed": "one",
        "budget": "two",
        "budget.images": "above and beside",
    }
    assert yaml.safe_load(text)["budget"] == {"images": None}
