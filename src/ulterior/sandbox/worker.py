"""The worker that runs jobs. Started as a script by `sandbox.py`; stands on the standard library alone.

Protocol: the worker says one JSON object, `{"layers": [...]}`; then one JSON request a line on stdin, one
JSON answer a line on stdout. A request is a list of jobs, `{"source", "steps", "call", "inputs"}`; the answer is a
list with one `[ending, report]` for each: how its process ended, and the text that it wrote.

The worker itself runs nothing of a job. For each job it forks a child, which gives up everything (see `give_up`),
runs the job, writes its report into a pipe of its own and ends. So each job meets the same fresh state whatever the
ones before it did, and can say something wrong only about itself.
"""

import ast
import builtins
import contextlib
import gc
import importlib.util
import json
import os
import select
import signal
import sys
import time
import types
from typing import Any

import resource  # isort: skip  # where it is missing there is no sandbox

# What a job may import. All of it is loaded before the first job: later, no file can be opened.
# fmt: off
MODULES = (
    "__future__", "abc", "array", "bisect", "builtins", "calendar", "cmath", "collections", "collections.abc",
    "contextlib", "copy", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq",
    "inspect", "itertools", "json", "math", "numbers", "operator", "random", "re", "statistics", "string", "sys",
    "textwrap", "time", "types", "typing", "unicodedata", "zlib",
)
# Loaded with them, since the library loads these late.
ALSO = (
    "_strptime", "encodings.ascii", "encodings.idna", "encodings.latin_1", "encodings.utf_8", "linecache",
    "traceback",
)
# Audit events of plain computing; every other one (files, processes, sockets, ctypes, other frames' memory ...) is
# refused.
EVENTS = frozenset((
    "builtins.id", "compile", "exec", "function.__new__", "object.__delattr__", "object.__getattr__",
    "object.__setattr__", "sys._getframe", "sys.unraisablehook", "time.sleep",
))
# fmt: on
NOBODY = 65534
INPUTS_KEPT = 512
AT_ONCE = 4  # children in flight: on a busy machine each waits for its turn
FAILED = 70  # exit code of a child that could not report

# The worker's own names, whatever a job does to the module `builtins`; its library gets them back for the report.
BUILTINS = dict(vars(builtins))
globals().update((name, value) for name, value in BUILTINS.items() if name[0] != "_")

# In a namespace of its own and with its data in its defaults: a job that catches the refusal reaches this frame
# through the traceback, and must find nothing there that it could change.
HOOK = """
def hook(event, args, allowed=allowed, refused=PermissionError):
    if event not in allowed:
        raise refused(f"{event} is not for a sandboxed program")
"""


def audit_hook():
    """A hook that refuses every event but the allowed ones, and that nothing refers to."""
    space: dict[str, Any] = {"allowed": EVENTS}
    exec(HOOK, space)
    hook = space.pop("hook")
    space.clear()
    return hook


class Stdout:
    """What a program prints, up to a limit; the rest is dropped."""

    encoding, errors = "utf-8", "replace"

    def __init__(self, limit):
        self.parts, self.left = [], limit

    def write(self, text):
        if self.left > 0:
            self.parts.append(text[: self.left])
            self.left -= len(self.parts[-1])
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return False


def limit(name, soft, hard=None):
    """Lower a limit; it is never raised, and a system that does not know it is not asked."""
    number = getattr(resource, name, None)
    if number is None:
        return
    _, most = resource.getrlimit(number)
    hard = soft if hard is None else hard
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(number, (soft, hard))


def give_up(limits, layers, kernel, keep):
    """Give up what a job must not have; there is no way back for this process."""
    os.closerange(0, keep)
    os.closerange(keep + 1, keep + 64)
    if sys.platform != "darwin":  # macOS refuses this limit
        limit("RLIMIT_AS", limits["memory_bytes"])
    limit("RLIMIT_CPU", limits["cpu_seconds"], limits["cpu_seconds"] + 1)
    for name in (
        "RLIMIT_FSIZE",
        "RLIMIT_CORE",
        "RLIMIT_NPROC",
        "RLIMIT_NOFILE",
        "RLIMIT_MEMLOCK",
        "RLIMIT_MSGQUEUE",
    ):
        limit(name, 0)
    if "audit" in layers:
        sys.addaudithook(HOOK_FUNCTION)
    if "seccomp" in layers and not kernel.close_the_door():
        os._exit(FAILED)


def importer(original=__import__, allowed=frozenset((*MODULES, *ALSO))):
    """`__import__` for the modules of the list. A courtesy: the other layers stop a program that gets around it."""

    def guarded(name, globals=None, locals=None, fromlist=(), level=0):
        ours = (
            globals is None or globals.get("__name__") == "__main__"
        )  # the library's own late imports go on
        if ours and (level or name not in allowed):
            raise ImportError(f"a sandboxed program cannot import {name!r}")
        return original(name, globals, locals, fromlist, level)

    return guarded


def plain(value, depth=0):
    """Whether a value and all it holds are of exactly the built-in types that have literals."""
    kind = type(value)
    if kind in (int, float, str, bool, bytes, complex, type(None)):
        return True
    if depth > 50:
        return False
    if kind in (list, tuple, set):
        return all(plain(item, depth + 1) for item in value)
    return kind is dict and all(plain(k, depth + 1) and plain(v, depth + 1) for k, v in value.items())


def ending_of(error):
    """How an exception is reported: the name of its class, for `SystemExit` with its code."""
    if isinstance(error, SystemExit):
        return f"SystemExit({0 if error.code is None else error.code if type(error.code) is int else 1})"
    return type(error).__name__


def run(job, inputs, stdout):
    """Run a job: its source, its steps one by one, and its calls; the report as plain data."""
    report = {"error": "", "message": "", "steps": [], "values": []}
    module = types.ModuleType("__main__")
    space = module.__dict__
    sys.modules["__main__"] = module
    try:
        exec(compile(job["source"], "<program>", "exec", dont_inherit=True), space)
        for step in job["steps"]:
            ending = ""
            try:
                exec(compile(step, "<step>", "exec", dont_inherit=True), space)
            except BaseException as error:
                ending = ending_of(error)
            report["steps"].append(ending)
            if ending.startswith("SystemExit"):
                break
        for arguments in inputs:
            literal = None
            try:
                value = space[job["call"]](*arguments)
                literal = repr(value) if plain(value) else None
            except BaseException:
                literal = None
            report["values"].append(literal)
    except BaseException as error:
        report["error"] = ending_of(error)
        report["message"] = str(error)[:200]
    report["stdout"] = "".join(stdout.parts)
    return report


def child(job, inputs, limits, layers, kernel, keep):
    """All that happens in a job's process."""
    code = FAILED
    try:
        if kernel is not None:
            kernel.die_with_parent(signal.SIGKILL)
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        dumps, write, stdout = json.dumps, os.write, Stdout(limits["output_bytes"])
        builtins.__import__ = importer()
        sys.stdin = None
        sys.stdout = sys.stderr = stdout
        give_up(limits, layers, kernel, keep)
        report = run(job, inputs, stdout)
        builtins.__dict__.update(BUILTINS)
        text = dumps(report).encode()
        while text:
            text = text[write(keep, text) :]
        code = 0
    finally:
        os._exit(code)


class Running:
    """A job's process: where it writes, until when it may run, what it has written."""

    def __init__(self, index, pid, seconds):
        self.index, self.pid, self.deadline = index, pid, time.monotonic() + seconds
        self.report, self.ending = bytearray(), ""


class Worker:
    """Starts a child for each job, a few at a time, waits for none longer than it may take, and sees to their
    ends."""

    def __init__(self, limits, layers, kernel):
        self.limits, self.layers, self.kernel = limits, layers, kernel
        self.running, self.inputs, self.poll = {}, {}, select.poll()

    def stop(self, *_):
        """End the jobs that are running, and this process."""
        for one in self.running.values():
            self.kill(one.pid)
        os._exit(0)

    @staticmethod
    def kill(pid):
        """Kill a child and whatever it may have started."""
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(pid, signal.SIGKILL)

    def arguments(self, text):
        """The arguments of a job's calls; the text comes from the owner of the sandbox, not from the program."""
        if text not in self.inputs:
            if len(self.inputs) >= INPUTS_KEPT:
                self.inputs.clear()
            self.inputs[text] = ast.literal_eval(text)
        return self.inputs[text]

    def __call__(self, jobs):
        """For each job: how its process ended, and its report."""
        answers, waiting = [[]] * len(jobs), list(enumerate(jobs))[::-1]
        while waiting or self.running:
            while waiting and len(self.running) < AT_ONCE:
                self.start(*waiting.pop())
            self.listen()
            for pipe, one in [pair for pair in self.running.items() if pair[1].ending]:
                answers[one.index] = self.finish(pipe, one)
        return answers

    def start(self, index, job):
        """Fork a child for a job."""
        inputs = self.arguments(job["inputs"])
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            child(job, inputs, self.limits, self.layers, self.kernel, write)
        os.close(write)
        self.running[read] = Running(index, pid, self.limits["wall_seconds"])
        self.poll.register(read, select.POLLIN | select.POLLHUP)

    def listen(self):
        """Wait until a child has written or run out of time."""
        left = min(one.deadline for one in self.running.values()) - time.monotonic()
        for pipe, _ in self.poll.poll(max(0, left) * 1000):
            one, part = self.running[pipe], os.read(pipe, 1 << 16)
            one.report += part
            if len(one.report) > self.limits["output_bytes"] * 8:
                one.ending = "too much output"
            elif not part:
                one.ending = "done"
        now = time.monotonic()
        for one in self.running.values():
            if now >= one.deadline:
                one.ending = one.ending or "out of time"

    @staticmethod
    def how_it_ended(one):
        """What became of a child that closed its pipe without a report; one that lives on is hardly waited for.

        The wait does not look at the deadline: the kernel's limit on CPU time can end a child at that very moment,
        and a child's pipe is closed a little before the child can be asked what ended it.
        """
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            status = os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if status is not None:
                return "died" if status.si_code == os.CLD_EXITED else f"killed by signal {status.si_status}"
            time.sleep(0.001)
        return "died"

    def finish(self, pipe, one):
        """Collect a child: it closed its pipe, or must end now."""
        if one.ending == "done" and not one.report:
            one.ending = self.how_it_ended(one)
        self.kill(one.pid)
        os.waitpid(one.pid, 0)
        self.poll.unregister(pipe)
        os.close(pipe)
        del self.running[pipe]
        return [one.ending, one.report.decode("utf-8", "replace") if one.ending == "done" else ""]


def holds(worker):
    """Whether a child of this worker really cannot make a process: asked of the kernel once, not believed."""
    source = """
import sys
os = sys.modules["os"]
try:
    os.fork() or os._exit(0)
except PermissionError:
    print("no")
"""
    ((ending, report),) = worker([{"source": source, "steps": [], "call": "", "inputs": "[]"}])
    return ending == "done" and json.loads(report)["stdout"] == "no\n"


def seccomp():
    """The module beside this one; its folder is not on the path."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seccomp.py")
    spec = importlib.util.spec_from_file_location("seccomp", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prepare(limits, without):
    """Load what jobs may import, find the layers that this system has, and return the worker and their names."""
    for name in (*MODULES, *ALSO):
        importlib.import_module(name)
    layers, kernel = {"rlimits"}, None
    if "seccomp" not in without:
        kernel = seccomp().kernel()
    if "user" not in without and os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            layers.add("user")
        except OSError:
            pass  # no such right in this container; the other layers stand
    worker = Worker(limits, frozenset(), kernel)
    if kernel is not None:
        worker.layers = frozenset({"seccomp"})
        if holds(worker):
            layers.add("seccomp")
    if "audit" not in without:
        layers.add("audit")
    worker.layers = frozenset(layers)
    return worker


def serve(limits, without):
    """Answer requests until stdin ends."""
    worker = prepare(limits, without)
    signal.signal(signal.SIGTERM, worker.stop)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("ctypes", "_ctypes")]:
        del sys.modules[name]
    sys.path.clear()
    gc.collect()
    gc.freeze()  # a child that collects garbage would copy every page
    gc.disable()
    say({"layers": sorted(worker.layers)})
    for line in sys.stdin.buffer:
        say(worker(json.loads(line)))


def say(value):
    """One line of JSON to the owner of the sandbox."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


HOOK_FUNCTION = audit_hook()

if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    serve(given["limits"], frozenset(given["without"]))
