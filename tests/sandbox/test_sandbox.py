"""Programs that attack: through Python, around Python, and through each layer of the sandbox alone."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ulterior.errors import InputError
from ulterior.sandbox import Job, Limits, Result, Sandbox, sandbox, worker

QUICK = Limits(wall_seconds=1.0, cpu_seconds=1, memory_bytes=128 * 2**20, output_bytes=2000)
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's filter is Linux's")
# The whole sandbox, then one layer at a time (the limits of the process are always there).
LAYERS = {
    "all": (),
    "audit": ("seccomp", "user"),
    "seccomp": ("audit", "user"),
}
HARMLESS = Job(
    "def f(x):\n    return sorted(x)", ("assert f([2, 1]) == [1, 2]",), call="f", inputs="[([3, 1],)]"
)
FINE = Result("done", steps=("",), values=("[1, 3]",))
# A program gets at any loaded module, builtins or not; with `C` at the C library through the frames that run it.
OS = "import sys\nos = sys.modules['os']\n"
C = """
import sys
frame, found = sys._getframe(), None
while frame and not found:
    found, frame = frame.f_locals.get("kernel"), frame.f_back
C = found._library
"""
# Write the same into every file descriptor.
WRITE = """
for n in range(256):
    try:
        os.write(n, {!r})
    except OSError:
        pass
"""


@pytest.fixture(scope="module", params=LAYERS)
def guarded(request):
    if request.param == "seccomp" and not sys.platform.startswith("linux"):
        pytest.skip("the kernel's filter is Linux's")
    with Sandbox(QUICK, without=LAYERS[request.param]) as one:
        assert one.run([HARMLESS]) == [FINE]
        yield one
        assert one.run([HARMLESS]) == [FINE]


@pytest.fixture(scope="module")
def full():
    with Sandbox(QUICK) as one:
        yield one


def alone(one: Sandbox, source: str) -> Result:
    """The result of a program between two harmless ones, which must not notice."""
    before, result, after = one.run([HARMLESS, Job(source), HARMLESS])
    assert before == after == FINE
    return result


def test_a_job_reports_its_steps_its_calls_and_what_it_printed(full):
    steps = ("assert f(1) == 2", "assert f(1) == 3", "f('')", "print('late')")
    job = Job(
        "def f(x):\n    return x + 1\nprint('hello')", steps, call="f", inputs="[(1,), (None,), (2.5,)]"
    )
    assert full.run([job]) == [
        Result(
            "done",
            steps=("", "AssertionError", "TypeError", ""),
            values=("2", None, "3.5"),
            stdout="hello\nlate\n",
        )
    ]


def test_leaving_ends_the_steps_with_its_code_and_an_error_of_the_source_is_named(full):
    left, died, broken = full.run(
        [
            Job("", ("x = 1", "raise SystemExit", "y = 2")),
            Job("", ("raise SystemExit(3)",)),
            Job("def f(:"),
        ]
    )
    assert left.steps == ("", "SystemExit(0)")
    assert died.steps == ("SystemExit(3)",)
    assert not broken.ok
    assert broken.error == "SyntaxError"


def test_values_that_are_not_plain_are_no_values(full):
    source = """
class Same:
    def __eq__(self, other): return True
    def __repr__(self): return "3"
class Three(int): pass
values = [3, Three(3), Same(), [Three(3)], {"a": Same()}, (1, 2.5, None), lambda: 3, {1: "x"}, {4}]
def f(i): return values[i]
"""
    (result,) = full.run([Job(source, call="f", inputs=str([(i,) for i in range(9)]))])
    assert result.values == ("3", None, None, None, None, "(1, 2.5, None)", None, "{1: 'x'}", "{4}")


def test_a_fork_bomb_does_not_start(guarded):
    before = time.monotonic()
    result = alone(guarded, OS + "while True:\n    os.fork()")
    assert result.error in ("PermissionError", "BlockingIOError")
    assert time.monotonic() - before < 20


def test_a_bomb_of_threads_does_not_start(guarded):
    source = "import sys\nstart = sys.modules['_thread'].start_new_thread\nwhile True:\n    start(lambda: None, ())"
    assert alone(guarded, source).error in ("PermissionError", "RuntimeError")


@pytest.mark.parametrize(
    "loop",
    [
        "while True:\n    pass",
        "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass",
        "import sys\ns = sys.modules['signal']\nfor n in range(1, 32):\n    try:\n        s.signal(n, s.SIG_IGN)\n"
        "    except (OSError, ValueError):\n        pass\nwhile True:\n    pass",
        "sum(range(10**12))",
        "import time\ntime.sleep(1000)",
        "import re\nre.match('(a*)*b', 'a' * 60)",
    ],
    ids=["plain", "swallows", "ignores signals", "in C", "sleeps", "in re"],
)
def test_an_endless_loop_ends_in_time_and_alone(full, loop):
    started = time.monotonic()
    result = alone(full, loop)
    assert result.ending in ("out of time", "killed by signal 24", "killed by signal 9")
    assert time.monotonic() - started < 5


def test_what_the_kernel_ended_at_the_very_deadline_is_told_by_its_signal():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as one:
        os.kill(one.pid, signal.SIGXCPU)
        late = worker.Running(0, one.pid, seconds=0.0)
        assert worker.Worker.how_it_ended(late) == f"killed by signal {signal.SIGXCPU:d}"


@pytest.mark.parametrize(
    "hoard", ["x = bytearray(10 * 2**30)", "x = [0] * (10 * 2**30 // 8)", "x = 'a'\nwhile True:\n    x += x"]
)
def test_ten_gigabytes_are_not_to_be_had(full, hoard):
    result = alone(full, hoard)
    # Where not a byte is left, there is none to write the report with.
    assert result.error == "MemoryError" or result.ending == "died"


def test_hoarding_bit_by_bit_while_swallowing_the_refusal_ends_too(full):
    source = "x = []\nwhile True:\n    try:\n        x.append(bytearray(2**20))\n    except MemoryError:\n        pass"
    assert alone(full, source).ending in ("out of time", "killed by signal 24", "killed by signal 9")


@pytest.mark.parametrize(
    "how",
    [
        "open({path!r}, 'w').write('x')",
        OS + "os.open({path!r}, os.O_CREAT | os.O_WRONLY)",
        "import sys\nsys.modules['io'].FileIO({path!r}, 'w')",
        OS + "os.mkdir({path!r})",
        OS + "os.symlink('/etc/passwd', {path!r})",
        OS + "os.mkfifo({path!r})",
    ],
)
def test_nothing_is_written_outside(guarded, tmp_path, how):
    if "mkfifo" in how and guarded.layers == {"rlimits", "audit"}:
        pytest.skip("Python audits no mkfifo: the kernel or the lack of rights must refuse it")
    tmp_path.chmod(0o777)
    result = alone(guarded, how.format(path=str(tmp_path / "left.txt")))
    assert result.error in ("PermissionError", "OSError"), result
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "how",
    [
        "print(open({path!r}).read())",
        OS + "print(os.read(os.open({path!r}, 0), 99))",
        "import sys\nprint(sys.modules['linecache'].getlines({path!r}))",
        "import sys\nprint(sys.modules['io'].open_code({path!r}).read())",
    ],
)
def test_a_secret_file_is_not_read(guarded, tmp_path, how):
    secret = tmp_path / "secret.txt"
    secret.write_text("open sesame\n")
    for path in (tmp_path, secret):
        path.chmod(0o777)
    result = alone(guarded, how.format(path=str(secret)))
    assert result.ending == "done"
    assert "sesame" not in result.stdout


def test_no_file_is_deleted_or_renamed(guarded, tmp_path):
    tmp_path.chmod(0o777)
    kept = tmp_path / "kept"
    kept.write_text("x")
    for call in ("remove({0!r})", "rename({0!r}, {0!r} + 'x')", "truncate({0!r}, 0)", "chmod({0!r}, 0)"):
        assert alone(guarded, OS + "os." + call.format(str(kept))).error == "PermissionError", call
    assert kept.read_text() == "x"
    assert os.access(kept, os.R_OK)


def test_no_module_is_loaded_that_was_not_there(guarded):
    for name in (
        "socket",
        "subprocess",
        "ctypes",
        "pathlib",
        "multiprocessing",
        "_posixsubprocess",
        "os",
        "shutil",
    ):
        assert alone(guarded, f"import {name}").error == "ImportError"
    for name in ("_socket", "_ctypes", "_posixsubprocess", "_multiprocessing"):
        late = f"import sys\nload = sys.modules['importlib'].import_module\nload({name!r}).__name__"
        assert alone(guarded, late).error in (
            "PermissionError",
            "ImportError",
            "ModuleNotFoundError",
            "OSError",
        )


def test_no_program_is_started(guarded):
    for call in ("system('true')", "execv('/bin/true', ['true'])", "posix_spawn('/bin/true', ['true'], {})"):
        result = alone(guarded, OS + f"print(os.{call})")
        assert result.error in ("PermissionError", "BlockingIOError") or result.stdout.strip() in (
            "-1",
            "32512",
        )


def test_neither_the_worker_nor_this_process_can_be_killed(guarded):
    for target in ("os.getppid()", str(os.getpid()), "0", "-1"):
        result = alone(guarded, OS + f"os.kill({target}, 9)")
        assert result.error == "PermissionError"  # and `alone` saw the worker alive


def test_leaving_the_process_is_the_end_of_that_program_alone(guarded):
    assert alone(guarded, "raise SystemExit").error == "SystemExit(0)"
    assert alone(guarded, OS + "os._exit(0)").ending == "died"
    assert alone(guarded, OS + "os.abort()").ending.startswith("killed by signal")
    assert not alone(guarded, "import sys\nsys.setrecursionlimit(10**9)\nf = lambda: f()\nf()").ok


def test_deep_recursion_is_an_error_of_that_program_alone(full):
    assert alone(full, "def f(): f()\nf()").error == "RecursionError"
    deep = "import sys\nsys.setrecursionlimit(10**9)\nx = ()\nfor _ in range(10**6): x = (x,)\nrepr(x)"
    result = alone(full, deep)
    assert not result.ok or result.stdout == ""


def test_huge_output_is_cut(full):
    result = alone(full, "print('x' * 10**7)\nwhile True:\n    print('y' * 1000)")
    assert result.ending in ("out of time", "killed by signal 24", "died")
    result = alone(full, "for _ in range(1000):\n    print('y' * 1000)")
    assert result.ok
    assert len(result.stdout) == QUICK.output_bytes
    huge = Job("def f():\n    return 'x' * 10**6", call="f", inputs="[()]")
    assert full.run([huge, HARMLESS]) == [Result("too much output"), FINE]


def test_a_program_cannot_speak_for_the_worker_or_for_another_program(guarded):
    lie = json.dumps({"error": "", "message": "", "steps": ["forged"], "values": [], "stdout": "lie"})
    answer = json.dumps([["done", lie]] * 3)
    everywhere = OS + WRITE.format(answer.encode() + b"\n")
    assert alone(guarded, everywhere).steps == ()
    # It can lie about itself, and only there.
    forged = OS + WRITE.format(lie.encode()) + "os._exit(0)"
    assert alone(guarded, forged).stdout == "lie"
    nested = OS + WRITE.format(b"[" * 9000) + "os._exit(0)"
    assert alone(guarded, nested) == Result("died")


def test_what_one_program_breaks_is_whole_for_the_next(full):
    vandal = """
import builtins, json, sys, math
for name in ("len", "isinstance", "repr", "sorted", "type", "compile"):
    setattr(builtins, name, lambda *a, **k: 0)
json.dumps = lambda *a: "[]"
math.pi = 3
sys.modules.clear()
sys.stdout = None
"""
    assert full.run([Job(vandal), HARMLESS, Job("import math\nprint(math.pi)")])[1:] == [
        FINE,
        Result("done", stdout="3.141592653589793\n"),
    ]


def test_a_program_sees_no_environment_and_no_open_file(full, monkeypatch):
    monkeypatch.setenv("ULTERIOR_SECRET", "sesame")
    source = f"""{OS}
print(dict(os.environ))
for n in range(64):
    try:
        os.write(n, b"")
    except OSError:
        continue
    print("open", n)
"""
    with Sandbox(QUICK) as fresh:
        (result,) = fresh.run([Job(source)])
    assert set(ast.literal_eval(result.stdout.split("}")[0] + "}")) <= {"PYTHONHASHSEED", "LC_CTYPE"}
    assert result.stdout.count("open") == 1  # the pipe of its own report


def test_refusals_leave_no_way_to_change_the_hook(full):
    source = """
try:
    open("/etc/hostname")
except PermissionError as error:
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    frame = trace.tb_frame
    frame.f_locals["allowed"] = frozenset(["open"])
    frame.f_globals["allowed"] = frozenset(["open"])
    print(sorted(frame.f_globals), [n for n in frame.f_locals if n == "hook"])
open("/etc/hostname")
"""
    with Sandbox(QUICK, without=("seccomp", "user")) as one:
        (result,) = one.run([Job(source)])
    assert result.error == "PermissionError"


@LINUX
@pytest.mark.parametrize(
    "call",
    [
        "fork()",
        "vfork()",
        "socket(2, 1, 0)",
        "open({path!r}, 0o101, 0o666)",
        "creat({path!r}, 0o666)",
        "mkdir({path!r}, 0o777)",
        "open(b'/etc/hostname', 0)",
        "unlink({kept!r})",
        "rename({kept!r}, {path!r})",
        "kill({pid}, 9)",
        "kill({pid}, 0)",
        "ptrace(16, {pid}, 0, 0)",
        "execve(b'/bin/true', None, None)",
        "setuid(0)",
        "prctl(22, 0, 0, 0, 0)",
        "syscall(435, 0, 0)",  # clone3
        "syscall(425, 1, 0)",  # io_uring_setup
        "syscall(0x40000000 + 2, {kept!r}, 0)",
    ],
)
def test_the_kernel_refuses_what_machine_code_asks_for(tmp_path, call):
    kept = tmp_path / "kept"
    kept.write_text("x")
    tmp_path.chmod(0o777)
    names = {"path": str(tmp_path / "left").encode(), "kept": str(kept).encode(), "pid": os.getpid()}
    with Sandbox(QUICK, without=("audit", "user")) as one:
        if "seccomp" not in one.layers and one.run([HARMLESS]) and "seccomp" not in one.layers:
            pytest.skip("this kernel filters no calls")
        result = alone(one, C + f"print(C.{call.format(**names)})")
    assert result.stdout == "-1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@LINUX
def test_root_becomes_nobody():
    if os.geteuid() != 0:
        pytest.skip("only root can give it up")
    with Sandbox(QUICK, without=("audit", "seccomp")) as one:
        result = alone(
            one, OS + "print(os.getuid(), os.getgid(), os.getgroups())\nwhile True:\n    os.fork()"
        )
        assert one.layers == {"rlimits", "user"}
    assert result.stdout == "65534 65534 []\n"
    assert result.error == "BlockingIOError"


def test_no_packet_leaves(guarded):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.2)
        port = server.getsockname()[1]
        reach = f"s = sys.modules['importlib'].import_module('socket')\ns.create_connection(('127.0.0.1', {port}))"
        assert not alone(guarded, "import sys\n" + reach).ok
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_worker_that_is_lost_is_replaced_and_only_its_job_suffers(full):
    full.run([HARMLESS])
    worker = full._workers[0]
    os.kill(worker._process.pid, 9)
    assert full.run([HARMLESS] * 3) == [FINE] * 3


def test_closing_ends_every_process_of_the_sandbox():
    one = Sandbox(Limits(wall_seconds=30.0, cpu_seconds=30))
    one.run([HARMLESS])
    pid = one._workers[0]._process.pid
    one._workers[0].send(
        json.dumps([{"source": "while True: pass", "steps": [], "call": "", "inputs": "[]"}])
    )
    time.sleep(0.3)
    children = Path(f"/proc/{pid}/task/{pid}/children")
    child = int(children.read_text().split()[0]) if children.exists() else None
    one.close()
    if child is not None:
        deadline = time.monotonic() + 5
        while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not Path(f"/proc/{child}").exists()
    assert not Path(f"/proc/{pid}").exists()


def test_several_workers_give_the_same_results_in_order():
    jobs = [Job(f"print({i})") for i in range(100)]
    with Sandbox(QUICK, workers=3) as many:
        assert [r.stdout for r in many.run(jobs)] == [f"{i}\n" for i in range(100)]


def test_sets_of_strings_have_one_order():
    job = Job("print({'a', 'b', 'c', 'd', 'e'})")
    seen = set()
    for _ in range(2):
        with Sandbox(QUICK) as one:
            seen.add(one.run([job])[0].stdout)
    assert len(seen) == 1


def test_bad_requests_and_systems_without_limits_are_one_clear_line(monkeypatch, tmp_path):
    with pytest.raises(InputError, match="0 workers"):
        Sandbox(workers=0)
    with pytest.raises(InputError, match="needs time"):
        Sandbox(Limits(wall_seconds=0.0))
    source = sandbox._WORKER.read_text(encoding="utf-8")
    assert "\nimport resource" in source
    (tmp_path / "worker.py").write_text(source.replace("\nimport resource", "\nimport no_such_limits"))
    monkeypatch.setattr(sandbox, "_WORKER", tmp_path / "worker.py")
    with pytest.raises(InputError, match="does not start: it needs a POSIX system whose limits"):
        Sandbox(QUICK).run([HARMLESS])
    monkeypatch.setattr(sandbox.os, "name", "nt")
    with pytest.raises(InputError, match="POSIX"):
        Sandbox()
