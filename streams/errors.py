"""What stops a stage, in words for the operator."""

from __future__ import annotations

import os
from typing import ClassVar

from postcall.dead_letters import ErrorClass
from postcall.errors import PostcallError


class StageCrashed(PostcallError):
    """The stage's consumer failed; the process ends, to be started again with nothing lost."""

    exit_code = os.EX_TEMPFAIL


class RecordTooLarge(PostcallError):
    """The record is larger than the log takes."""

    error_class: ClassVar[ErrorClass] = "schema"


class StageFileUnusable(PostcallError):
    """A stage's file cannot be opened."""
