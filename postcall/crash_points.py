"""Places in the code at which a test lets a process die, as `kill -9` would: nothing is closed, flushed or handed over.

`POSTCALL_FAIL_AT` names the point at which the process dies when it first gets there; or, if it is a path, a folder of
fuses: whoever gets to a point and can take the file of that name out of the folder dies. So a test can lay a fuse when
it likes, and what is started again goes on. A point may be written `insights.after_perform_before_outcome`: it counts
for that stage only. Outside of tests the variable is not set, and a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final, Literal, get_args

FAIL_AT: Final = "POSTCALL_FAIL_AT"

CrashPoint = Literal[
    # Slow work is done, and paid for; nobody knows of it.
    "after_perform_before_outcome",
    # Its outcome is durable in the log, and not noted in the work index.
    "after_outcome_before_index",
    # What a batch led to is durable, and its offsets are not committed.
    "after_append_before_ack",
    # What dead letters led to is durable, and they are still open.
    "after_derived_before_decision",
    # A transaction of the warehouse is about to be durable; is durable, and nobody was told.
    "before_commit",
    "after_commit",
    # Another warehouse is whole, and the one before it still serves; serves, and nobody was told.
    "before_switch",
    "after_switch",
    # The copy is whole, and has not got its name; has it.
    "before_copy_is_placed",
    "after_copy_is_placed",
]
CRASH_POINTS: Final[tuple[CrashPoint, ...]] = get_args(CrashPoint)

_FAIL_AT: Final = os.environ.get(FAIL_AT)


def reach(point: CrashPoint, *, who: str) -> None:
    """Die here, if that is what was asked for.

    :param who: the stage or the service that gets here.
    """
    if _FAIL_AT is not None and _is_due(_FAIL_AT, {point, f"{who}.{point}"}):
        os.kill(os.getpid(), signal.SIGKILL)


def _is_due(fail_at: str, names: set[str]) -> bool:
    if os.sep not in fail_at:
        return fail_at in names
    return any(_takes_fuse(Path(fail_at) / name) for name in names)


def _takes_fuse(fuse: Path) -> bool:
    try:
        fuse.unlink()
    except FileNotFoundError:
        return False
    return True
