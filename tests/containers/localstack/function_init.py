#!/var/lang/bin/python3.13
"""The first process of each function's container: in place of LocalStack's lambda-runtime-init.

LocalStack posts an invocation to port 9563. The runtime client of the image gets it from the runtime API, which this
program serves, and posts the result there; this program posts the result and the logs to LocalStack.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOCALSTACK = os.environ["LOCALSTACK_RUNTIME_ENDPOINT"]
STATUS = f"status/{os.environ['LOCALSTACK_RUNTIME_ID']}"
TIMEOUT = int(os.environ["AWS_LAMBDA_FUNCTION_TIMEOUT"])
RUNTIME_API = "/2018-06-01/runtime"


class Environment:
    """The state of one execution environment: it runs one invocation at a time."""

    def __init__(self):
        self.is_ready = False
        self.invocations = queue.Queue()
        self.running = None
        self.output = []

    def post(self, path, body):
        request = urllib.request.Request(
            f"{LOCALSTACK}/{path}", data=body, headers={"Content-Type": "application/json"}, method="POST"
        )
        urllib.request.urlopen(request, timeout=30).close()

    def next(self):
        if not self.is_ready:
            self.is_ready = True
            self.post(f"{STATUS}/ready", b"{}")
        self.running = self.invocations.get()
        return self.running

    def end(self, outcome, body):
        """Post the logs and the result of the running invocation; ``outcome`` is ``response`` or ``error``."""
        request, self.running = self.running["invoke-id"], None
        lines, self.output = self.output, []
        logs = f"START RequestId: {request} Version: $LATEST\n{''.join(lines)}END RequestId: {request}\n"
        self.post(f"invocations/{request}/logs", json.dumps({"logs": logs}).encode())
        self.post(f"invocations/{request}/{outcome}", body)

    def run(self):
        """Run the image's runtime client; start it again when it ends, unless it ended before the first invocation."""
        while True:
            client = subprocess.Popen(
                ["/var/runtime/bootstrap"],
                env={**os.environ, "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            for line in client.stdout:
                self.output.append(line)
                sys.stdout.write(line)
                sys.stdout.flush()
            reason = f"the runtime ended with {client.wait()}"
            error = json.dumps({"errorType": "Runtime.ExitError", "errorMessage": reason}).encode()
            if self.running:
                self.end("error", error)
            elif not self.is_ready:
                # LocalStack rejects a second error; the runtime client posts the first when an import fails
                with contextlib.suppress(urllib.error.HTTPError):
                    self.post(f"{STATUS}/error", error)
                return


class Handler(BaseHTTPRequestHandler):
    """A request of LocalStack or of the runtime client; each has a port of its own."""

    def do_GET(self):
        invocation = environment.next()
        self.respond(
            200,
            invocation["payload"].encode(),
            {
                "Lambda-Runtime-Aws-Request-Id": invocation["invoke-id"],
                "Lambda-Runtime-Invoked-Function-Arn": invocation["invoked-function-arn"],
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + TIMEOUT) * 1000)),
                "Content-Type": "application/json",
            },
        )

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/invoke":
            environment.invocations.put(json.loads(body))
        elif self.path == f"{RUNTIME_API}/init/error":
            environment.post(f"{STATUS}/error", body)
        else:
            environment.end(self.path.rsplit("/", 1)[1], body)
        self.respond(202, b"{}", {})

    def respond(self, status, body, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Write nothing: the output is that of the function."""


environment = Environment()

if __name__ == "__main__":
    # the first process of a container ignores a signal for which it has no handler
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for address in (("127.0.0.1", 9001), ("0.0.0.0", 9563)):  # noqa: S104  # in a container
        threading.Thread(target=ThreadingHTTPServer(address, Handler).serve_forever, daemon=True).start()
    environment.run()
