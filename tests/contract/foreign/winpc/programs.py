"""What the fake PC can run: steps joined by ` ;; `, each a verb and its words. Output is a list of pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

Piece = tuple[str, bytes]


@dataclass
class Process:
    line: str
    shell: dict[str, object]
    stdin: bytes = b""
    stdin_closed: bool = False
    exit_code: int = 0
    hangs: bool = False
    polls: int = 0
    signals: int = 0
    ended: bool = False
    collected: bool = False
    answers: list[object] = field(default_factory=list)
    begun: bool = False

    def needs_stdin(self) -> bool:
        return "stdin" in self.line.split(" ;; ")

    def run(self) -> list[Piece]:
        pieces: list[Piece] = []
        for step in self.line.split(" ;; "):
            pieces += self._step(*step.partition(" ")[::2])
        return pieces

    def _step(self, verb: str, words: str) -> Iterator[Piece]:
        env = self.shell["env"]
        assert isinstance(env, dict)
        if verb == "out":
            yield "stdout", words.encode()
        elif verb == "err":
            yield "stderr", words.encode()
        elif verb == "big":
            yield "stdout", (bytes(range(256)) * (int(words) // 256 + 1))[: int(words)]
        elif verb == "stdin":
            yield "stdout", f"{len(self.stdin)} {hashlib.sha256(self.stdin).hexdigest()}".encode()
        elif verb == "set":
            yield "stdout", "".join(f"{name}={value}\n" for name, value in env.items()).encode()
        elif verb == "cd":
            yield "stdout", str(self.shell["chdir"]).encode()
        elif verb == "chcp":
            yield "stdout", str(self.shell["codepage"]).encode()
        elif verb == "exit":
            self.exit_code = int(words)
        elif verb == "hang":
            self.hangs = True
        else:
            yield "stdout", self.line.encode()
            self.exit_code = 0


def answers(pieces: list[Piece], habit: str) -> list[tuple[str, list[Piece]]]:
    """Cut output into Receive answers: (state, streams); the last one is Done.

    Args:
        pieces: what the program wrote, in order.
        habit: `recorded` (27 streams an answer, then all the rest with Done), `single` (one stream per
            answer, Done alone), `whole` (one answer), `empty` (silent Running and Pending answers between),
            `crumbs` (1 to 3 bytes a stream), `interleaved` (both streams in turns).
    """
    size = {"single": 60000, "whole": 100000}.get(habit, 4116)
    cut = [(name, data[at : at + size]) for name, data in pieces for at in range(0, max(1, len(data)), size)]
    if habit == "crumbs":
        cut = [crumb for name, data in pieces for crumb in _crumbs(name, data)]
    if habit == "interleaved":
        both = [[p for p in cut if p[0] == name] for name in ("stdout", "stderr")]
        most = max(len(each) for each in both)
        cut = [each[at] for at in range(most) for each in both if at < len(each)]
    group = {"single": 1, "empty": 3}.get(habit, 27)
    groups = [cut[at : at + group] for at in range(0, len(cut), group)]
    if habit == "single":
        return [*(("Running", each) for each in groups), ("Done", [])]
    if habit == "empty":
        silent = [("Pending", []), ("Running", [])]
        return [
            *silent,
            *(turn for each in groups for turn in (("Running", each), ("Running", []))),
            ("Done", []),
        ]
    last = groups.pop() if groups else []
    return [*(("Running", each) for each in groups), ("Done", last)]


def _crumbs(name: str, data: bytes) -> Iterator[Piece]:
    at, turn = 0, 0
    while at < len(data):
        step = (1, 2, 3)[turn % 3] if at < 120 else 4000
        yield name, data[at : at + step]
        at, turn = at + step, turn + 1
