"""Model servers for tests: transformers' own with tiny weights, and one that does as it is told."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}"
    "{{ m['content'] }}{% else %}{% for part in m['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_NUM_WORDS = 400
"""Tokens of the tiny tokenizer before its special ones."""
_START_SECONDS = 120.0


# --- transformers' server


def save_chat_model(cache: Path, name: str = "tiny/qwen2.5-vl") -> Path:
    """Puts a random Qwen2.5-VL that can be talked to into a cache folder shaped like the hub's."""
    from qwen_checkpoints import save_vl
    from transformers import PreTrainedTokenizerFast, Qwen2VLImageProcessorPil

    revision = "0" * 40
    repository = cache / f"models--{name.replace('/', '--')}"
    folder = repository / "snapshots" / revision
    for needed in (folder, repository / "refs", repository / "blobs"):
        needed.mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    model = save_vl(folder, projection=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    tokenizer.chat_template = _TEMPLATE
    tokenizer.save_pretrained(folder)
    # Random weights are as fond of special tokens, which nobody is shown, as of any other.
    model.generation_config.suppress_tokens = list(
        range(_NUM_WORDS, model.config.text_config.vocab_size)
    )
    model.generation_config.save_pretrained(folder)
    pictures = Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=112 * 112)
    pictures.save_pretrained(folder)
    return folder


@contextmanager
def transformers_server(cache: Path, seen: Path) -> Iterator[str]:
    """Runs ``transformers serve`` on a cache folder in a process of its own.

    Args:
        cache: Where its models are.
        seen: A folder in which each question is kept as its model was given it.

    Yields:
        The base URL.
    """
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "SEEN_FOLDER": str(seen),
    }
    command = [sys.executable, __file__, "serve", "--port", str(port), "--host", "127.0.0.1"]
    log = seen / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--device", "cpu"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_up(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.2)
    raise RuntimeError(f"the server did not start: {log.read_text()[-3000:]}")


def _serve() -> None:
    """The process of `transformers_server`: the real command, with a processor of pictures only.

    transformers' Qwen2.5-VL processor cannot be made without its video processor, which needs
    torchvision; there is none for the CPU build of torch. Nothing but pictures is sent here, so the
    one that is registered instead is the same less the videos.
    """
    import numpy as np
    from transformers import AutoProcessor, Qwen2_5_VLConfig, Qwen2_5_VLProcessor
    from transformers.cli.transformers import app

    folder = Path(os.environ["SEEN_FOLDER"])

    class Qwen2_5_VLPictureProcessor(Qwen2_5_VLProcessor):  # type: ignore[misc]
        def __init__(
            self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None
        ) -> None:
            super().__init__(image_processor, tokenizer, chat_template=chat_template)

        def apply_chat_template(self, *arguments: Any, **kwargs: Any) -> Any:
            inputs = super().apply_chat_template(*arguments, **kwargs)
            number = len(list(folder.glob("*.npz")))
            np.savez(folder / f"{number}.npz", **{k: v.numpy() for k, v in inputs.items()})
            return inputs

    AutoProcessor.register(Qwen2_5_VLConfig, Qwen2_5_VLPictureProcessor, exist_ok=True)
    app()


# --- a scripted server

Step = bytes | Literal["stall", "cut"]
"""Bytes to send; silence until the test is over; an end without an end."""


@dataclass(frozen=True)
class Reply:
    """What a scripted server sends back."""

    status: int = 200
    """0 for a server that takes the question and says nothing."""
    steps: Sequence[Step | threading.Event] = ()
    """An event is waited for."""
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What a scripted server was asked."""

    line: str
    """Method and path."""
    headers: Mapping[str, str]
    """Names in lower case."""
    raw: bytes
    seconds: float
    """Of a clock that only grows."""

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class ScriptedServer:
    """Answers one question after the other with the replies of a script, over real sockets."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._replies: dict[str, list[Reply]] = {}
        self._is_over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.root = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ScriptedServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._server.shutdown()
        self._server.server_close()

    def script(self, *replies: Reply, path: str = "/v1/chat/completions") -> None:
        """What to say at a path; the last reply is repeated."""
        self._replies[path] = list(replies)

    def _next(self, path: str) -> Reply:
        replies = self._replies.get(path) or [failure(404, "Not Found")]
        return replies.pop(0) if len(replies) > 1 else replies[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("content-length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                line = f"{self.command} {self.path}"
                raw = self.rfile.read(length)
                script.requests.append(Request(line, headers, raw, time.monotonic()))
                self.close_connection = True
                # The client may hang up, as some tests want it to.
                with suppress(OSError):
                    self._send(script._next(self.path))

            do_POST = do_GET

            def _send(self, reply: Reply) -> None:
                if reply.status == 0:
                    script._is_over.wait(30)
                    return
                self.send_response(reply.status)
                self.send_header("content-type", reply.kind)
                self.send_header("transfer-encoding", "chunked")
                self.send_header("connection", "close")
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for step in reply.steps:
                    if isinstance(step, bytes):
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(step), step))
                        self.wfile.flush()
                    elif isinstance(step, threading.Event):
                        step.wait(30)
                    elif step == "stall":
                        script._is_over.wait(30)
                    else:
                        return
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def event(**delta: object) -> bytes:
    """A piece of a streamed reply."""
    return _event({"index": 0, "delta": delta, "finish_reason": None})


def end(reason: str = "stop") -> bytes:
    """The last piece."""
    return _event({"index": 0, "delta": {}, "finish_reason": reason}) + b"data: [DONE]\n\n"


def _event(choice: object) -> bytes:
    whole = {"id": "1", "object": "chat.completion.chunk", "created": 1, "choices": [choice]}
    return b"data: " + json.dumps(whole).encode() + b"\n\n"


def stream(*steps: Step | threading.Event) -> Reply:
    """A reply in pieces."""
    return Reply(200, steps, "text/event-stream; charset=utf-8")


def answer(*pieces: str, reason: str = "stop") -> Reply:
    """A whole answer."""
    return stream(event(role="assistant"), *(event(content=piece) for piece in pieces), end(reason))


def failure(status: int, message: str, *, retry_after: str = "0.01", **more: object) -> Reply:
    """An error in the words of a server."""
    body = json.dumps({"error": {"message": message, "type": "error", **more}}).encode()
    return Reply(status, (body,), headers={"retry-after": retry_after})


def models(*names: str) -> Reply:
    """A list of models."""
    served = [{"id": name, "object": "model"} for name in names]
    return Reply(200, (json.dumps({"object": "list", "data": served}).encode(),))


if __name__ == "__main__":
    _serve()
