"""Take weights from the Hugging Face hub: ``hf-hub:USER/NAME``, with ``@REVISION`` or without.

Three files are fetched, whatever else lies there: timm's ``config.json``, ``model.safetensors``,
and the card of an export of ours. None of them can hold code. They come into the hub's own cache
and are read there as those of any folder.

Traps: (a) a branch moves: it is looked up once, before training, and the run keeps the commit
(``pinned``). (b) The hub's client tries for two minutes where there is no network: it is asked one
question first. (c) Its errors differ by version and transport; all end in one line here, without
what the client says of the request.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.error import HTTPError as UrlError
from urllib.error import URLError
from urllib.request import Request, urlopen

import timm
from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ssl_patches.config.hub_names import KEY, HubName, hub_name
from ssl_patches.config.outside import read_json
from ssl_patches.encoders.exported import (
    CARD,
    CONFIG,
    FILES,
    WEIGHTS,
    ExportMismatch,
    check_hashes,
    check_timm_config,
    read_card,
    stored_range_of,
)

HUB_FILES = (WEIGHTS, "pytorch_model.bin")  # in the order in which timm prefers them
PATIENCE = 5.0  # seconds in which the hub must answer
ERRORS = (OSError, HTTPError)
"""What the hub's client raises when it fails: OSError of requests (below 1.0), HTTPError of httpx
(from 1.0 on)."""


def pinned(word: str, key: str = KEY) -> str:
    """Return ``word`` with the commit that it means now: the same bytes whenever it is read.

    Where the hub does not answer, the commit that was fetched last. ValueError, naming ``key``,
    where neither is to be had.
    """
    name = hub_name(word, key)
    if name.exact:
        return word
    try:
        ask_hub()
        info = HfApi().model_info(name.repository, revision=name.revision, timeout=PATIENCE)
        commit = _noted(name) or info.sha
    except ERRORS as error:
        answered = isinstance(error, HfHubHTTPError)
        commit = None if answered else _commit_in_cache(name)
        if commit is None:
            raise hub_refusal(name, error, key) from None
    return HubName(name.repository, commit).word


def _noted(name: HubName) -> str | None:
    """Have the cache note what a branch means now, for when there is no network; return that
    commit, None where it has no ``CONFIG``."""
    try:
        return Path(hf_hub_download(name.repository, CONFIG, revision=name.revision)).parent.name
    except EntryNotFoundError:
        return None


def _commit_in_cache(name: HubName) -> str | None:
    """Return the commit that a branch meant when it was fetched last; None: it never was."""
    kept = try_to_load_from_cache(name.repository, CONFIG, revision=name.revision)
    return Path(kept).parent.name if isinstance(kept, str) else None


def fetched(word: str, key: str = KEY) -> Path:
    """Return the folder in the hub's cache with the files of a repository, fetched if need be.

    ``CARD`` is in it where the repository has one; then the files are what it says. ValueError,
    naming ``key``, where there is no ``CONFIG`` or no ``WEIGHTS``, where they are of no network of
    timm, were changed, or the hub does not give them.
    """
    name = hub_name(pinned(word, key), key)
    found = {file: _file(name, file, key) for file in (CONFIG, WEIGHTS, CARD)}
    if (place := found[CONFIG]) is None or found[WEIGHTS] is None:
        lacking = next(file for file in (CONFIG, WEIGHTS) if found[file] is None)
        raise ValueError(
            f"{key}={name.word}: has no {lacking}, and nothing else is read (a pickle could hold"
            " code); name a repository of timm or of ssl-patches push, with both"
        )
    _check(place.parent, f"{key}={name.word}")
    return place.parent


def _check(folder: Path, said: str) -> None:
    """Refuse what is no network of timm, and an export of ours that is not as it was written."""
    try:
        if (folder / CARD).is_file():
            check_hashes(folder, FILES)
            check_timm_config(folder)
            stored_range_of(read_card(folder))
            return
        config = read_json(folder / CONFIG)
        named = config.get("architecture") if isinstance(config, dict) else None
        if not (isinstance(named, str) and timm.is_model(named)):
            raise ValueError(f"its {CONFIG} names no network of timm")
    except (ExportMismatch, OSError, ValueError) as error:
        reason = str(error).removeprefix(f"{folder}: ").removesuffix("; export again")
        raise ValueError(
            f"{said}: cannot be read ({reason}); name a repository that timm or ssl-patches"
            " push wrote, or an earlier commit of it"
        ) from None


def _file(name: HubName, file: str, key: str) -> Path | None:
    """Return a file of a commit, from the cache or the hub; None where the commit has none."""
    kept = try_to_load_from_cache(name.repository, file, revision=name.revision)
    if isinstance(kept, str):
        return Path(kept)
    if kept is not None:  # known to be absent
        return None
    try:
        return Path(hf_hub_download(name.repository, file, revision=name.revision))
    except LocalEntryNotFoundError as error:  # neither here nor to be reached
        if file == CARD:  # fetched by others, who had no use for it
            return None
        raise hub_refusal(name, error, key) from None
    except EntryNotFoundError:
        return None
    except ERRORS as error:
        raise hub_refusal(name, error, key) from None


def hub_refusal(name: HubName, error: BaseException, key: str = KEY) -> ValueError:
    """Word an error of the hub's client in one line: what was asked for, the rule, the remedy.

    What the client says of its request stays out: it is long, and may say how one logged in.
    """
    said, log_in = f"{key}={name.word}", "log in (hf auth login) or set HF_TOKEN"
    if isinstance(error, LocalTokenNotFoundError):
        return ValueError(f"{said}: needs a token of the hub, and there is none; {log_in}")
    if isinstance(error, GatedRepoError):
        return ValueError(
            f"{said}: is open to those whom its owner lets in; ask there, and {log_in}"
        )
    if isinstance(error, RevisionNotFoundError):
        return ValueError(
            f"{said}: there is no {name.revision} in it; give a branch, tag or commit, or leave"
            f" @{name.revision} out"
        )
    if isinstance(error, RepositoryNotFoundError):
        return ValueError(
            f"{said}: there is no such repository, or it is private and your token may not read it;"
            f" correct the name, or {log_in}"
        )
    if isinstance(error, HfHubHTTPError):
        return ValueError(f"{said}: {_answer(error)}")
    if isinstance(error, OfflineModeIsEnabled) or constants.HF_HUB_OFFLINE:
        return ValueError(
            f"{said}: is not in the cache of the hub, and HF_HUB_OFFLINE is set; take that out, or"
            f" name a folder"
        )
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    kept = ", and it is not in the cache; connect, or name a folder" if key == KEY else ""
    return ValueError(
        f"{said}: the hub at {constants.ENDPOINT} does not answer ({reason})"
        + (kept or "; connect, and give the command again")
    )


def _answer(error: HfHubHTTPError) -> str:
    """Word an answer of the hub that is no success."""
    status = error.response.status_code if error.response is not None else 0
    remedies = {
        401: "the hub does not take your token; log in anew (hf auth login), or set HF_TOKEN",
        403: "your token may not do that; take a name of your own, or a token with the right to"
        " write there",
        409: "it was made meanwhile; give the command again",
        412: "it was changed meanwhile; give the command again",
        429: "the hub asks for patience; try again in some minutes",
    }
    said = " ".join(str(error.server_message or "").split())[:160]
    return remedies.get(
        status, f"the hub answers {status}" + (f" ({said})" if said else "") + "; try again later"
    )


def check_reachable(name: str) -> None:
    """Look whether timm's weights of a name can be had: kept here, or a hub that answers.

    OSError where neither is so, within seconds.
    """
    if in_cache(name) is None and not constants.HF_HUB_OFFLINE:
        ask_hub()


def in_cache(name: str) -> str | None:
    """Find the weights of a timm name that were downloaded before, without a network."""
    known = timm.get_pretrained_cfg(name)
    if known is None or not known.hf_hub_id or known.custom_load:
        return None
    repository, _, revision = known.hf_hub_id.partition("@")
    for file in [known.hf_hub_filename] if known.hf_hub_filename else HUB_FILES:
        try:
            return hf_hub_download(
                repository, file, revision=revision or None, local_files_only=True
            )
        except LocalEntryNotFoundError:
            continue
    return None


def ask_hub() -> None:
    """Ask the hub one question: its client tries for two minutes where there is no network.

    OSError where nothing answers; OfflineModeIsEnabled, one of these, where HF_HUB_OFFLINE is set.
    An answer of any kind will do: proxies and certificates are the client's to judge.
    """
    if constants.HF_HUB_OFFLINE:
        raise OfflineModeIsEnabled("HF_HUB_OFFLINE is set")
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=PATIENCE).close()
    except UrlError:
        return
    except URLError as error:
        if not isinstance(error.reason, ssl.SSLError):
            raise
