"""Execution in a guarded process: the same as a plain run, and nothing gets out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from ulterior.errors import InputError
from ulterior.tasks.tampering.diamonds import guard
from ulterior.tasks.tampering.diamonds.guard import Guard, Limits
from ulterior.tasks.tampering.diamonds.holdouts import DIFFICULTIES
from ulterior.tasks.tampering.diamonds.program import write_program
from ulterior.tasks.tampering.diamonds.world import closing, opening

PLAIN = """
import contextlib, io, json, sys
space, out = {"__name__": "__main__"}, io.StringIO()
with contextlib.redirect_stdout(out):
    exec(compile(sys.stdin.read(), "program", "exec"), space)
there = any(type(item) is space["Diamond"] for item in space["vault"].items)
print(json.dumps([out.getvalue().splitlines(), there]))
"""


def plain_run(text: str) -> tuple[list[str], bool]:
    """The slow reference: the whole text, in a fresh process, with nothing cached."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PLAIN], input=text, capture_output=True, text=True, check=True
    )
    lines, there = json.loads(done.stdout)
    return lines, there


def around(action: str) -> tuple[str, str, str]:
    """A program with one action."""
    return opening(0) + "\n", action, closing()


HARMLESS = around("vault.locked = True")


def test_pieces_with_cached_code_do_what_the_whole_text_does_in_a_fresh_process():
    programs = [write_program("plain", d, i) for d in DIFFICULTIES for i in range(10)]
    with Guard() as worker:
        warm = worker.execute([p.pieces for p in programs])
        answers = worker.execute([p.pieces for p in programs])
    assert answers == warm
    for program, answer in zip(programs, answers, strict=True):
        lines, there = plain_run(program.text)
        assert answer["stdout"] == lines[:8]
        assert answer["outcome"] == there


def test_a_trace_changes_nothing_and_ends_where_the_program_ends():
    programs = [write_program("trace", "both", i).pieces for i in range(200)]
    with Guard() as worker:
        plain, traced = worker.execute(programs), worker.execute(programs, trace=True)
    for program, a, b in zip(programs, plain, traced, strict=True):
        assert {**b, "trace": []} == a
        assert len(b["trace"]) == len(program) - 2
        stdout, flags = b["trace"][-1]
        assert stdout == a["stdout"][:3]
        assert flags[0] == a["outcome"]


@pytest.mark.parametrize(
    "action",
    [
        "open('/tmp/x', 'w')",
        "import socket",
        "import os",
        "__import__('os')",
        "eval('1')",
        "raise ValueError",
        "vault.items.extend([0] * 10**10)",
        "def f(): f()\nf()",
        "raise SystemExit",
    ],
)
def test_what_a_program_may_not_do_is_an_error_of_that_program_alone(action):
    with Guard() as worker:
        answers = worker.execute([HARMLESS, around(action), HARMLESS])
        assert "error" not in answers[0]
        assert "error" in answers[1]
        assert answers[2] == answers[0]


ESCAPE = "for c in ().__class__.__base__.__subclasses__():\n    if c.__name__ == {name!r}:\n        {use}"


@pytest.mark.parametrize(
    "use",
    [
        "vault.found = c.__init__.__globals__['sys'].modules['os'].system('true') == 0",
        "vault.found = c.__init__.__globals__['sys'].modules['os'].open('/etc/hostname', 0)",
    ],
)
def test_a_program_that_reaches_the_os_module_still_opens_nothing_and_starts_nothing(use):
    # Builtins can always be escaped from; the limits of the process cannot.
    action = ESCAPE.format(name="_wrap_close", use=use)
    with Guard() as worker:
        (answer,) = worker.execute([(*around(action)[:2], "print(getattr(vault, 'found', 'no'))")])
    assert "error" in answer or answer["stdout"] != ["True"]


@pytest.mark.parametrize(
    "action",
    [
        "while True:\n    pass",
        "while True:\n    try:\n        while True:\n            pass\n    except:\n        pass",
        "sum(range(10**12))",
    ],
)
def test_a_program_that_hangs_is_lost_alone_and_in_time(action):
    limits = Limits(program_seconds=0.1, batch_seconds=1.5, batch_cpu_seconds=2)
    started = time.monotonic()
    with Guard(limits) as worker:
        answers = worker.execute([HARMLESS, around(action), HARMLESS])
    assert "error" not in answers[0]
    assert "error" in answers[1]
    assert answers[2] == answers[0]
    assert time.monotonic() - started < 25


def test_a_worker_that_dies_is_replaced_and_only_its_program_is_lost():
    escape = ESCAPE.format(name="_wrap_close", use="c.__init__.__globals__['sys'].modules['os']._exit(1)")
    with Guard() as worker:
        answers = worker.execute([HARMLESS, around(escape), HARMLESS, HARMLESS])
        again = worker.execute([HARMLESS])
    died = [a.get("error") for a in answers]
    assert died[0] is died[2] is died[3] is None
    assert again == [answers[0]]


def test_programs_cannot_change_each_other():
    vandal = around("Vault.take = Sensor.read = None\n__builtins__.clear()")
    with Guard() as worker:
        first = worker.execute([HARMLESS])
        worker.execute([vandal])
        assert worker.execute([HARMLESS]) == first


def test_a_closed_guard_starts_again_when_it_is_used():
    worker = Guard(replace(Limits(), program_seconds=0.2))
    first = worker.execute([HARMLESS])
    worker.close()
    assert worker.execute([HARMLESS]) == first
    worker.close()


def test_a_worker_that_cannot_start_is_one_clear_line_and_no_endless_stream(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "_WORKER", tmp_path / "none.py")
    with pytest.raises(InputError, match="does not start"):
        Guard().execute([HARMLESS])
