"""Wait for an object store, but not for ever: tries, a time for each, and words for what fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

PAUSE = 0.5  # seconds before the second try; the next pauses double
REFUSED = ("NoCredentials", "PermissionError", "Forbidden", "AccessDenied")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Words:
    """What messages call what was typed: the setting of an address, and two remedies."""

    key: str = "data.path"
    public: str = ", or data.storage_options={anon:true} where it is public"
    longer: str = ", or set data.timeout higher"


OF_DATA = Words()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a store is waited for.

    ``timeout``: seconds until a request counts as failed. ``retries``: how often it is tried again.
    ``words``: what its messages say.
    """

    timeout: float = 60.0
    retries: int = 5
    words: Words = OF_DATA

    def tried(self, url: str, work: Callable[[], Result]) -> Result:
        """Return what ``work`` returns, at the first try that succeeds.

        FileNotFoundError at once where something is not there; ValueError, with what to do, where
        access is refused or every try fails.
        """
        last: BaseException = TimeoutError()
        for number in range(self.retries + 1):
            if number:
                time.sleep(PAUSE * 2 ** (number - 1))
            try:
                return within(self.timeout, work)
            except FileNotFoundError:
                raise
            except Exception as error:  # each store has errors of its own
                last = error
                if isinstance(error, PermissionError) or _names(error) & {"NoCredentialsError"}:
                    break
        if isinstance(last, TimeoutError):
            raise ValueError(
                f"{self.words.key}={url}: no answer within {self.timeout:g} s,"
                f" {self.retries + 1} times; see whether its server is there{self.words.longer}"
            ) from last
        raise refused(url, last, self.words) from last


USUAL = Patience()


def within(seconds: float, work: Callable[[], Result]) -> Result:
    """Return what ``work`` returns; TimeoutError where that takes longer than ``seconds``.

    What does not come to an end is left to a thread that ends with the process.
    """
    found: list[Result] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return found[0]


def refused(url: str, error: BaseException, words: Words = OF_DATA) -> ValueError:
    """Say why a place cannot be read, and what to do."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if any(word in name for name in _names(error) for word in REFUSED):
        return ValueError(
            f"{words.key}={url}: may not be read ({reason}); give credentials (AWS_PROFILE, or"
            f" AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY){words.public}"
        )
    return ValueError(
        f"{words.key}={url}: cannot be read ({reason}); see whether it is there and its server"
        " answers"
    )


def _names(error: BaseException) -> set[str]:
    """Return the names of the classes of an error and of what caused it."""
    return {type(each).__name__ for each in (error, error.__cause__, error.__context__)}
