#!/usr/bin/env python3
"""A payment system for trying callgate out: it takes a test payment, and no money. Python alone, nothing to install.

Two ways, and one is enough:

  as a receiver of webhooks       CALLGATE_WEBHOOK_SECRET=whsec_… python3 example.py --port 8080
      [webhook] url = "http://127.0.0.1:8080/", secrets = ["whsec_…"]
  as a program on its input       [recharge] command = ["/etc/callgate/payments/example.py"]

Both read the event `recharge.requested` as JSON and answer {"status": "succeeded"}, {"status": "failed", "reason": …} or
{"status": "pending"}: then the answer comes later, by POST /v1/recharges/ID/succeeded or /failed, or by
`callgate recharge answer ID succeeded`. A real one replaces charge(), and keeps what it has charged on disk: the same id
may be asked for again, after a crash of either side, and must not be paid twice. So a request may also come after its
time: then it is asked what became of it, and who has not taken the money does not take it any more.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST_BODY_BYTES = 65_536
MOST_SKEW_SECONDS = 300
DECLINED_OVER_MICROS = 1_000_000_000

charged = {}  # the outcome by the recharge's id; a real one keeps it on disk, written before it answers


def charge(recharge):
    """Take the money of one recharge, once for its id. This one takes none, and declines what is over 1000.00."""
    if recharge["id"] not in charged:
        is_declined = recharge["amount_micros"] > DECLINED_OVER_MICROS or os.environ.get("CALLGATE_EXAMPLE_DECLINES")
        declined = {"status": "failed", "reason": "test card declined"}
        charged[recharge["id"]] = declined if is_declined else {"status": "succeeded", "reason": "test card"}
        if recharge["expires_at_ms"] < time.time() * 1000:
            charged[recharge["id"]] = {"status": "failed", "reason": "asked for too late"}
    return charged[recharge["id"]]


def is_signed(headers, body, secrets):
    """Whether one of these secrets signed it, lately (Standard Webhooks 1.0.0)."""
    sent_at = headers.get("webhook-timestamp", "")
    if not sent_at.isdecimal() or abs(time.time() - int(sent_at)) > MOST_SKEW_SECONDS:
        return False
    signed = f"{headers.get('webhook-id', '')}.{sent_at}.".encode() + body
    given = headers.get("webhook-signature", "").split()
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        if any(hmac.compare_digest(wanted, one) for one in given):
            return True
    return False


class Receiver(BaseHTTPRequestHandler):
    """Answers each event; only a request for a recharge has an answer in its body."""

    timeout = 10

    def do_POST(self):
        """Check who it is from, then do what it says."""
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MOST_BODY_BYTES:
            return self.answer(413, {})
        body = self.rfile.read(int(length))
        if not is_signed(self.headers, body, os.environ["CALLGATE_WEBHOOK_SECRET"].split()):
            return self.answer(401, {})
        event = json.loads(body)
        return self.answer(200, charge(event["data"]) if event["type"] == "recharge.requested" else {})

    def answer(self, status, told):
        """Send JSON."""
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    """Listen where a port is named; else take one event from the input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, help="listen there, on loopback")
    port = parser.parse_args().port
    if port is None:
        print(json.dumps(charge(json.load(sys.stdin)["data"])))
    elif not os.environ.get("CALLGATE_WEBHOOK_SECRET"):
        sys.exit("Put the tenant's secret (whsec_…) into CALLGATE_WEBHOOK_SECRET.")
    else:
        ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()


if __name__ == "__main__":
    main()
