"""Measure what a trace costs a call: ``python -m tests.load.bench_tracing``. Prints figures, judges none.

The collector is in this process: what it does is among the work of other threads.
"""

import asyncio
import http.server
import threading
import time

from gateway.adapters.tracing import Tracer
from gateway.core.call import State
from gateway.ports import NOBODY
from tests.unit.core import build

CALLS = 20_000
LIFE = (
    *(State.ASKED, State.RESERVED, State.RINGING, State.ANSWERED),
    *(State.EXTENDING, State.ANSWERED) * 2,
    State.SETTLED,
)


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes all, and looks at nothing."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One batch."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def main() -> None:
    """Print microseconds a call."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for one_in in (1, 1_000_000):
        tracer = Tracer(f"http://127.0.0.1:{server.server_port}/v1/traces", "east", NOBODY, one_in=one_in)
        calls = [build.call() for _ in range(CALLS)]
        records = [call.record("settled", 250_000, 9_750_000) for call in calls]
        loop_seconds, began = 0.0, time.process_time()
        for call, record in zip(calls, records, strict=True):
            at = time.thread_time()
            for call.state in LIFE:
                tracer.changed(call)
            tracer.closed(record)
            tracer.gone(call)
            loop_seconds += time.thread_time() - at
            while len(tracer._spans._batch_processor._queue) > 4000:  # calls do not come all at once
                await asyncio.sleep(0.001)
        await tracer.stop()
        whole = time.process_time() - began
        print(
            f"one in {one_in:>9,}: {loop_seconds / CALLS * 1e6:6.1f} us of the event loop a call, "
            f"{(whole - loop_seconds) / CALLS * 1e6:6.1f} us of other threads, this collector's among them"
        )


if __name__ == "__main__":
    asyncio.run(main())
