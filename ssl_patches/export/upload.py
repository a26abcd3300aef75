"""Send a parcel to the Hugging Face hub as one commit, never over another encoder unasked.

The hub is looked at first, and the commit names what was seen as its parent: what somebody else
pushed in between is not replaced, the hub refuses. Trap: a repository that is there already keeps
who may see it; one that everybody sees gets nothing that was to be private.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.hf_api import ModelInfo, RepoSibling

from ssl_patches.config.hub_names import HubName
from ssl_patches.encoders.exported import README, WEIGHTS, sha256
from ssl_patches.encoders.hub import ERRORS, PATIENCE, ask_hub, hub_refusal
from ssl_patches.export.parcel import Parcel
from ssl_patches.export.staging import NAMES

KEY = "hub"
UNTOUCHED = {".gitattributes", README}
"""What the hub itself puts into a new repository."""


@dataclass(frozen=True)
class Sent:
    """What the hub has now: the commit, whether it is a new one, and who may see it."""

    commit: str
    new: bool
    private: bool


def send(parcel: Parcel, *, private: bool, overwrite: bool) -> Sent:
    """Make the repository where there is none, and send the files as one commit.

    ValueError where there is no network, no token or no right, and for a repository that holds
    something else (without ``overwrite``) or that everybody sees (with ``private``).
    """
    name, api = HubName(parcel.repository), HfApi()
    try:
        ask_hub()
        api.whoami()  # or refused: without a token the hub calls every repository unknown
        there = _look(api, parcel.repository)
        if there is None:
            api.create_repo(parcel.repository, private=private)
            there = _look(api, parcel.repository)
        _refuse_other(parcel, there, private=private, overwrite=overwrite)
        before = there.sha if there else None
        commit = _commit(api, parcel, there)
    except ERRORS as error:
        raise _refusal(name, error) from None
    except RuntimeError as error:  # of the upload of a large file, whose cause says why
        raise _refusal(name, error.__cause__ or error) from None
    return Sent(commit, commit != before, bool(there.private if there else private))


def _commit(api: HfApi, parcel: Parcel, there: ModelInfo | None) -> str:
    """Send the commit and return its name, or that of the last one where nothing is to be changed.

    ValueError where the hub does not take the README.
    """
    operations = _operations(parcel, there)
    if there is not None and there.sha and not operations:
        return there.sha
    try:
        return api.create_commit(
            parcel.repository,
            operations,
            commit_message=f"{parcel.architecture}, pushed by ssl-patches",
            parent_commit=there.sha if there else None,
        ).oid
    except HfHubHTTPError:
        raise
    except ValueError as error:  # the client asks the hub first about the README's head
        reason = " ".join(str(error).split())[:160]
        raise ValueError(
            f"license={parcel.license}: the hub does not take the head of {README} ({reason}); give"
            " a licence of its list, such as license=apache-2.0"
        ) from None


def _refusal(name: HubName, error: BaseException) -> ValueError:
    if isinstance(error, OfflineModeIsEnabled):
        return ValueError(
            f"{KEY}={name.word}: cannot be reached while HF_HUB_OFFLINE is set; take that out"
        )
    return hub_refusal(name, error, KEY)


def _look(api: HfApi, repository: str) -> ModelInfo | None:
    """Return what the hub says of a repository and its files; None: there is none."""
    try:
        return api.model_info(repository, files_metadata=True, timeout=PATIENCE)
    except RepositoryNotFoundError:
        return None


def _refuse_other(
    parcel: Parcel, there: ModelInfo | None, *, private: bool, overwrite: bool
) -> None:
    """Refuse, by ValueError, to write over something else, and to show what was to be private."""
    if there is None:
        return
    said = f"{KEY}={parcel.repository}"
    if private and not there.private:
        raise ValueError(
            f"{said}: everybody sees it, and private=true; set private=false, or {KEY} to another"
            " name"
        )
    files = {file.rfilename: file for file in there.siblings or ()}
    if not set(files) - UNTOUCHED or overwrite:
        return
    short = (there.sha or "")[:12]
    if WEIGHTS not in files:
        others = ", ".join(sorted(set(files) - UNTOUCHED)[:3])
        raise ValueError(
            f"{said}: must be new or hold this encoder, and holds other files ({others}; commit"
            f" {short}); set {KEY} to another name, or overwrite=true"
        )
    if not _is_same(files[WEIGHTS], parcel.files[WEIGHTS]):
        raise ValueError(
            f"{said}: holds another encoder (commit {short}); set {KEY} to another name, or"
            " overwrite=true (its history keeps the other one)"
        )


def _is_same(there: RepoSibling, here: Path | bytes) -> bool:
    """Tell whether the hub has these bytes: by sha256 of large files, by git's hash of small."""
    if there.lfs is not None:
        large = hashlib.sha256(here).hexdigest() if isinstance(here, bytes) else sha256(here)
        return there.lfs.sha256 == large
    content = here if isinstance(here, bytes) else here.read_bytes()
    blob = b"blob %d\0" % len(content) + content
    return there.blob_id == hashlib.sha1(blob, usedforsecurity=False).hexdigest()


def _operations(
    parcel: Parcel, there: ModelInfo | None
) -> list[CommitOperationAdd | CommitOperationDelete]:
    """List what the commit does: files that are new or others, and the end of those that this
    export lacks."""
    old = {file.rfilename: file for file in (there.siblings if there else None) or ()}
    gone = sorted((set(old) & set(NAMES)) - set(parcel.files))
    new = {
        name: held
        for name, held in parcel.files.items()
        if name not in old or not _is_same(old[name], held)
    }
    return [
        *(CommitOperationDelete(name) for name in gone),
        *(
            CommitOperationAdd(name, held if isinstance(held, bytes) else str(held))
            for name, held in new.items()
        ),
    ]
