"""A consumer of its own: prints every frustrated call, from the beginning of the log and then as they come.

    python examples/frustrated_calls.py .postcall/demo

Any Kafka client in any language can do this; nothing else in the pipeline notices.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from aiokafka import AIOKafkaConsumer


async def main(log: str) -> None:
    async with AIOKafkaConsumer("postcall.insights", bootstrap_servers=log, auto_offset_reset="earliest") as consumer:
        async for record in consumer:
            insight = json.loads(record.value).get("result", {})
            if insight.get("sentiment") == "frustrated":
                print(insight["summary"], flush=True)


running = json.loads(Path(sys.argv[1], "postcall.json").read_text())
asyncio.run(main(running["log"]))
