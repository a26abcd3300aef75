"""Keep a second command away from a folder in an object store: one works with it at a time.

As the locks of run directories (``config/locks.py``): the marks are ``drivers/NUMBER.json``, the
highest number is in force, and to take over from a command that is gone means to make the next one.
It is made only where its name is free, by a conditional write, so of two that find the same one
gone exactly one succeeds. A command is gone when it said so, when it ran on this machine and its
process is no more, or when its mark was not written again for ``SILENCE``, by the store's clock.

The limit: on a store whose writes know no condition two that begin in the same moment may both go
on, until the one whose mark was overwritten looks at it, ``HEARTBEAT`` later, and ends. Until then
they did the same work twice; which of them kept a run does not matter (``mirror.py``).
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict

from ssl_patches.config.locks import HEARTBEAT, SILENCE
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.outside import parse_json
from ssl_patches.config.owners import Owner, lives_here, myself
from ssl_patches.config.plain_text import tell
from ssl_patches.studies.object_store import KEY, ObjectStore

FOLDER = "drivers"
MARK = re.compile(FOLDER + r"/(\d{6})\.json")


@contextmanager
def only_driver(store: ObjectStore) -> Iterator[None]:
    """Be the only command that works with a store while in the block.

    BadRequest where another one does, and where the store cannot be written.
    """
    try:
        name, content = _take(store)
    except FileNotFoundError:
        raise BadRequest(
            [f"{KEY}={store.url}: is not there; make its bucket, or name another one"]
        ) from None
    except BadRequest:
        raise
    except ValueError as error:
        raise BadRequest([str(error)]) from None
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(store, name, content, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        with suppress(ValueError, OSError):  # it counts as gone later
            store.write(name, json.dumps(json.loads(content) | {"released": True}))


def _take(store: ObjectStore) -> tuple[str, str]:
    """Make the next mark; return its name and content. BadRequest where a command is alive."""
    names = _marks(store)
    if names and (last := _owner(store, names[-1])) and _alive(store, names[-1], last):
        raise _in_use(
            store,
            f"{last} works with it; wait for it or stop it (one that was killed elsewhere"
            f" counts as gone after {SILENCE / 60:g} minutes), or name another folder",
        )
    number = int(names[-1].partition("/")[2][:6]) + 1 if names else 1
    name = f"{FOLDER}/{number:06d}.json"
    content = json.dumps({**asdict(myself()), "id": uuid.uuid4().hex})
    made = store.create(name, content)
    if made and _marks(store)[-1:] != [name]:  # it filled a gap, a number used and tidied away
        store.remove(name)
        made = False
    if not made:
        raise _in_use(store, "another command has just begun with it; try again")
    store.remove(*names)
    return name, content


def _in_use(store: ObjectStore, why: str) -> BadRequest:
    return BadRequest([f"{KEY}={store.url}: {why}"])


def _beat(store: ObjectStore, name: str, content: str, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        with suppress(ValueError, OSError):  # a store that does not answer for a while
            if _marks(store)[-1:] != [name] or store.read(name) != content:
                tell(
                    f"{KEY}={store.url}: was taken over by another command while this one stood"
                    " still; it ends",
                    file=sys.stderr,
                )
                os._exit(1)
            store.write(name, content)


def _marks(store: ObjectStore) -> list[str]:
    """Return the names of the marks, the one in force last."""
    return sorted(name for name in store.sizes(FOLDER) if MARK.fullmatch(name))


def _owner(store: ObjectStore, name: str) -> Owner | None:
    """Return who made a mark; None where it went away. BadRequest where it is none of ours."""
    if (text := store.read(name)) is None:
        return None
    try:
        found = parse_json(text)
        return Owner(**{key: value for key, value in found.items() if key != "id"})
    except (ValueError, TypeError, AttributeError):
        raise BadRequest(
            [
                f"{KEY}={store.url}: {name} is no mark of ssl-patches; delete it when nothing works"
                " with the folder"
            ]
        ) from None


def _alive(store: ObjectStore, name: str, last: Owner) -> bool:
    if (here := lives_here(last)) is not None:
        return here
    probe = f"{FOLDER}/.{uuid.uuid4().hex}"
    store.write(probe, "now")  # what time is it where the mark is written?
    try:
        return (store.modified(probe) - store.modified(name)).total_seconds() < SILENCE
    except FileNotFoundError:
        return False
    finally:
        store.remove(probe)
