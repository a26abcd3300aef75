"""Look at a user's Dataset without opening it here.

Datasets open their one large file (HDF5, zip, LMDB) when the first item is asked for, and then hold
a handle. Loader workers that are forked from a process with such a handle share it, with one
position for all, and read each other's images. So what is looked at before the workers start is
looked at in a process of its own: the Dataset here stays as it was given.

Where processes are not forked (macOS, Windows) a handle cannot be shared; there a copy is looked
at, and the Dataset itself where it cannot be copied.
"""

from __future__ import annotations

import copy
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

from torch.utils.data import DataLoader, Dataset, get_worker_info

Result = TypeVar("Result")
Subject = TypeVar("Subject")


def looked_at(subject: Subject, look: Callable[[Subject], Result]) -> Result:
    """Return ``look(subject)``, computed in a process of its own; what it raises is raised here."""
    if get_worker_info() is not None:  # this is such a process
        return look(subject)
    if sys.platform != "linux":
        return look(_copied(subject))
    loader = DataLoader(
        _Look(subject, look),
        batch_size=None,
        num_workers=1,
        multiprocessing_context="fork",
    )
    result, error, told = next(iter(loader))
    if error is not None:
        if told:
            error.add_note(f"raised while a process of its own looked at the data:\n{told}")
        raise error
    return result


class _Look(Dataset[object]):
    """A data set whose one item is what a look finds, or what it raises."""

    def __init__(self, subject: Subject, look: Callable[[Subject], Result]) -> None:
        self.subject, self.look = subject, look

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[object, BaseException | None, str]:
        try:
            return self.look(self.subject), None, ""
        except ValueError as error:
            return None, error, ""
        except Exception as error:
            return None, error, traceback.format_exc()


def _copied(subject: Subject) -> Subject:
    """Return a copy; a Dataset that cannot be copied is returned itself, as a loader reads it."""
    try:
        return copy.deepcopy(subject)
    except Exception:  # whatever a Dataset raises that cannot be copied
        return subject
