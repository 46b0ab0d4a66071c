"""One signed delivery, followed to its SQL row: shows that a whole deployment works.

    python -m tests.compose.deliver --url http://127.0.0.1:8000 -- docker compose exec -T projections postcall sql

The secret is read from LAYERCODE_WEBHOOK_SECRET; what follows `--` is the command that runs SQL. Needs the standard
library only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from postcall.simulator.signing import SIGNATURE_HEADER, sign

Rows = list[dict[str, object]]
#: What `postcall sql` is told besides the statement.
AS_JSON = ("--format", "json")
_TURNS = (("assistant", "Acme Plumbing, how can I help?"), ("user", "My boiler is leaking."))


def main() -> None:
    """Deliver, and wait for the row; exits with a line that says what is missing otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="where ingest listens")
    parser.add_argument("--limit", type=float, default=60, help="how long the row may take, in seconds")
    parser.add_argument("sql", nargs="+", help="the command that runs a statement")
    options = parser.parse_args()
    session_id = f"delivered-{uuid.uuid4()}"
    deliver(options.url, session_id, secret=os.environ["LAYERCODE_WEBHOOK_SECRET"])
    began_s = time.monotonic()
    row = wait_for_row(session_id, partial(ask, options.sql), limit_s=options.limit)
    print(f"In SQL {time.monotonic() - began_s:.1f} s after its 200: {json.dumps(row)}")  # noqa: T201 - its output


def deliver(url: str, session_id: str, *, secret: str) -> None:
    """Post the end of a call, signed as the vendor does."""
    body = json.dumps(session_end(session_id)).encode()
    request = urllib.request.Request(  # noqa: S310 - the caller's own deployment
        f"{url}/webhooks/layercode",
        data=body,
        headers={
            "content-type": "application/json",
            SIGNATURE_HEADER: sign(body, secret=secret, at_s=int(time.time())),
        },
    )
    with _without_proxy().open(request, timeout=30) as response:
        assert response.status == 200


def session_end(session_id: str) -> dict[str, object]:
    """A call of two turns that has just ended."""
    ended_at = datetime.now(UTC)
    started_at = ended_at - timedelta(seconds=60)
    started_ms = int(started_at.timestamp() * 1000)
    return {
        "type": "session.end",
        "session_id": session_id,
        "conversation_id": f"conversation-of-{session_id}",
        "agent_id": "checked1",
        "started_at": started_at.isoformat(timespec="milliseconds"),
        "ended_at": ended_at.isoformat(timespec="milliseconds"),
        "duration": 60_000,
        "recording_status": "disabled",
        "transcript": [
            {"role": role, "text": text, "timestamp": started_ms + 5_000 * number}
            for number, (role, text) in enumerate(_TURNS)
        ],
    }


def wait_for_row(session_id: str, run_sql: Callable[[str], Rows], *, limit_s: float) -> dict[str, object]:
    """The call's row, complete with what the last stage makes of it: its summary.

    :raises SystemExit: it does not come.
    """
    statement = f"SELECT session_id, turn_count, summary FROM calls WHERE session_id = '{session_id}'"  # noqa: S608 - our own id
    deadline = time.monotonic() + limit_s
    while True:
        rows = run_sql(statement)
        if rows and rows[0]["turn_count"] == len(_TURNS) and rows[0]["summary"]:
            return rows[0]
        if time.monotonic() > deadline:
            sys.exit(f"{session_id} has no complete row in `calls` after {limit_s:.0f} s: {rows}")
        time.sleep(0.5)


def ask(sql_command: Sequence[str], statement: str) -> Rows:
    """The rows of a statement.

    :raises CalledProcessError: the command failed; it has said why.
    """
    ran = subprocess.run([*sql_command, *AS_JSON, statement], stdout=subprocess.PIPE, check=True)
    rows: Rows = json.loads(ran.stdout)
    return rows


def _without_proxy() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


if __name__ == "__main__":
    main()
