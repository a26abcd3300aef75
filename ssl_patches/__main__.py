"""Run the command line: ``python -m ssl_patches`` is ``ssl-patches``."""

from ssl_patches.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
