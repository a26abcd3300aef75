"""Run commands in words: parsing, help, completion, the last screen and the dry run."""

from ssl_patches.cli.commands import main

__all__ = ["main"]
