"""The processes that workers.py starts to render rows: python -m fingpt.prompts.worker MODEL TOKENIZER MAX SOCKET…

One loads the tokenizer and forks a worker for each socket. A row that cannot be rendered ends its worker: who asked
renders that part again and says what is wrong with it.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tokenizers import Tokenizer

from fingpt.models import ModelSpec, spec
from fingpt.prompts.chat import render_part
from fingpt.prompts.examples import Example
from fingpt.prompts.words import Words, plain
from fingpt.prompts.workers import READY


@dataclass(frozen=True, eq=False)
class Backend:
    """A tokenizer as the library loads it, without transformers, which takes a second to import."""

    backend_tokenizer: Tokenizer

    def get_added_vocab(self) -> dict[str, int]:
        """Ids of the added tokens by their text."""
        added = self.backend_tokenizer.get_added_tokens_decoder()
        return {token.content: number for number, token in added.items()}


def serve(model: ModelSpec, file: Path, max_tokens: int, sockets: Sequence[int]) -> None:
    """Fork a worker for each socket, and wait for their ends."""
    tokenizer = Backend(Tokenizer.from_file(str(file)))
    words = Words(plain(tokenizer.backend_tokenizer))
    gc.freeze()  # the collector would write to what all share
    for socket in sockets:
        if os.fork() == 0:
            try:
                for other in sockets:
                    if other != socket:
                        os.close(other)
                _work(model, tokenizer, words, max_tokens, Connection(socket))
            finally:
                os._exit(0)  # whatever ended it, the end of its socket tells
    for socket in sockets:
        os.close(socket)
    for _ in sockets:
        os.wait()


def _work(
    model: ModelSpec, tokenizer: Backend, words: Words, max_tokens: int, connection: Connection
) -> None:
    connection.send(READY)
    while True:
        rows = [_example(*texts) for texts in connection.recv()]
        packed = render_part(model, tokenizer, words, rows, max_tokens)
        connection.send([tuple(each) for each in packed])


def _example(system: str, user: str, answer: str) -> Example:
    """A row without what rendering does not read."""
    return Example(system, user, answer, symbol="", period="", label="", prompt="", raw_answer="")


if __name__ == "__main__":
    serve(
        spec(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), [int(each) for each in sys.argv[4:]]
    )
