"""Where every process of postcall begins: the command `postcall`, and `python -m postcall`."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Load the commands, and run one; Ctrl-C ends it without a traceback, also while it still loads."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from postcall.cli import run_command  # noqa: PLC0415 - takes a moment

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run_command()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
