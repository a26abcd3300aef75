"""Ask W&B's server, before anything is written, whether it takes the user's runs.

A key that is missing or wrong is found by the user, so it is refused. A server that is gone is not
the end of a run: files can be sent later.

Trap: the client says the same of a wrong key and of a server that does not answer, after ten
seconds; which it is, is asked without it.
"""

from __future__ import annotations

import urllib.error
import urllib.request

from ssl_patches.training.rows import first_line, report

WAIT = 10.0
"""Seconds for an answer, as the client waits for one."""


def taken_by_server() -> bool:
    """Tell whether runs can be sent now: False where the server is gone, which is said.

    True also where ``WANDB_MODE`` says that nothing is to be sent. ValueError for a user whom the
    server does not take.
    """
    import wandb
    from wandb.errors import AuthenticationError, Error

    settings = wandb.setup().settings
    if settings.mode not in ("online", "run", "shared"):
        return True
    try:
        return wandb.login()
    except Error as error:
        missing = unanswered(settings.base_url) if isinstance(error, AuthenticationError) else None
        if missing is None:
            raise ValueError(
                f"logger=wandb: {first_line(error)}; log in with: wandb login, or put"
                " WANDB_MODE=offline before the command, which keeps the run in files that wandb"
                " sync sends later"
            ) from error
    report(f"logger=wandb: no answer from {settings.base_url}: {missing}")
    return False


def unanswered(address: str) -> str | None:
    """Say why a server gives no answer, or that it is broken; None where it answers."""
    try:
        with urllib.request.urlopen(f"{address}/graphql", timeout=WAIT):
            return None
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.reason}" if error.code >= 500 else None
    except urllib.error.URLError as error:
        return str(error.reason)
    except OSError as error:
        return str(error)
