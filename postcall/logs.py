"""Log lines: a short sentence, then `action=` and the other facts, one line each, without control characters.

`POSTCALL_LOG_LEVEL` is a level's name, `POSTCALL_LOG_FORMAT` is `text` or `json`. Lines go to stderr.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_CHATTY = ("faust", "mode", "kafka", "httpx", "httpx2", "httpcore", "httpcore2", "openai", "uvicorn")
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def configure_logs(service: str, environment: Mapping[str, str]) -> None:
    """Send this process's log lines to stderr in postcall's shape."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter(service, as_json=environment.get("POSTCALL_LOG_FORMAT") == "json"))
    level = (environment.get("POSTCALL_LOG_LEVEL") or "INFO").upper()
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
    silence_log_clients()


def silence_log_clients() -> None:
    """They report each attempt on a log that is down, where who uses them says it once, and why."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class LogFormatter(logging.Formatter):
    """`2026-11-21T09:00:00.000Z INFO ingest Webhook appended action=appended partition=3`."""

    def __init__(self, service: str, *, as_json: bool) -> None:
        super().__init__()
        self._service = service
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """One line for one record."""
        facts = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "at": moment.replace("+00:00", "Z"),
            "level": record.levelname,
            "service": self._service,
            "message": record.getMessage(),
            **facts,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if self._as_json:
            return orjson.dumps(line, default=str).decode()
        head = " ".join(str(line.pop(name)) for name in ("at", "level", "service", "message"))
        tail = " ".join(f"{name}={value}" for name, value in line.items())
        return f"{head} {tail}".rstrip().translate(_CONTROL)
