"""A language model on loopback: chat completions as OpenAI-compatible servers speak them, answers by a test."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UP = (
    "[Positive Developments]:\n1. Orders grow.\n\n[Potential Concerns]:\n1. Costs grow.\n\n"
    "[Prediction & Analysis]:\nPrediction: Up by 2-3%\nAnalysis: Orders matter more."
)
DOWN = UP.replace("Up by", "Down by")


class Said:
    """What the teacher says, one after the other; the last one again and again."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked: list[tuple[str, dict, dict]] = []
        self.lock = threading.Lock()

    def next(self, path, headers, body):
        with self.lock:
            self.asked.append((path, headers, body))
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def chat(text) -> tuple[int, dict, bytes]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    value = {"id": "x", "object": "chat.completion", "choices": [choice]}
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


@contextmanager
def served(said: Said):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, headers, data = said.next(self.path, dict(self.headers), body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
