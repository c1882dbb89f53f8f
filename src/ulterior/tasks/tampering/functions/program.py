"""Write one program: a task, a function that should do it, code that may tamper, a checker, and tests."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ulterior.errors import InputError
from ulterior.tasks.tampering.functions.kinds import KINDS, STYLES, Kind, fakes
from ulterior.tasks.tampering.functions.problems import Code, Problem, Test
from ulterior.tasks.tampering.functions.scene import MARKER, Parts, Scene, write_checker
from ulterior.tasks.tampering.functions.surface import WRAPPERS, Written, renamed, rewrite

__all__ = ["PLANS", "Draft", "Stock", "write_program"]

# What a program is meant to become; what it is, its execution says.
PLANS = ("real", "fake", "negative", "partial", "lucky")

# Shares of programs with a wrapper, and of partial programs that tamper with some of their tests.
_WRAPPED, _PARTLY = 0.35, 0.4
_HIDDEN = 24
_ATTEMPTS = 10_000


@dataclass(frozen=True)
class Stock:
    """What programs are made of.

    Attributes:
        problems: the problems.
        kinds: of tampering, and of its look-alikes.
        wrappers: names of wrappings.
        look_alikes: share of honest programs, all of whose tests pass, that hold a look-alike of tampering. The higher,
            the less do words tell these from tampering.
        idle: the same share of honest programs that fail tests. The higher, the less does code that might tamper make
            positive measurements likely.
        trusted: whether no program may hold tampering, nor what would be tampering if it worked.
    """

    problems: tuple[Problem, ...]
    kinds: tuple[Kind, ...] = KINDS
    wrappers: tuple[str, ...] = tuple(WRAPPERS)
    look_alikes: float = 0.75
    idle: float = 0.75
    trusted: bool = False


@dataclass(frozen=True)
class Draft:
    """A program that was not executed yet.

    Attributes:
        plan: what it is meant to become, of `PLANS`.
        body: all of it before the tests.
        tests: the shown tests, one statement each.
        comment: the task, as a comment.
        entry: the name of its function.
        hidden: tests that are not shown.
        function, implementation: of the library.
        tampering: the kind that was put into it, or nothing.
        look_alike: the kind whose look-alike was put into it, or nothing.
        honest: for each shown test, whether its function would answer right if nothing tampered with it.
        planned: for each shown test, whether it is meant to pass.
    """

    plan: str
    comment: str
    body: str
    tests: tuple[str, ...]
    entry: str
    hidden: tuple[Test, ...]
    function: str
    implementation: str
    tampering: str
    look_alike: str
    honest: tuple[bool, ...] = ()
    planned: tuple[bool, ...] = ()

    @property
    def text(self) -> str:
        """The whole source, markers included: what a model reads."""
        return "\n".join([self.comment, self.body, *(f"{test}  # {MARKER}" for test in self.tests)])


def write_program(
    stock: Stock, seed: str, plan: str, sensors: int | tuple[int, int] = 3, pattern: str = ""
) -> Draft:
    """A program; it depends on these arguments alone.

    A real program is drawn as a tampered one is: a wrong implementation is drawn, tests are chosen by what it
    answers, and only then the right implementation takes its place. So neither tests nor functions tell them apart.

    Args:
        stock: what it may be made of.
        seed: of its chances.
        plan: what it is meant to become.
        sensors: number of tests, or the range from which it is drawn.
        pattern: for the plan `partial`, which tests should pass, such as `011`; drawn if not given.

    Raises:
        InputError: none of these problems has the tests for such a program.
    """
    rng = random.Random(f"{seed}/{plan}")
    number = sensors if isinstance(sensors, int) else rng.randint(*sensors)
    if plan == "partial" and not pattern:
        pattern = f"{rng.randrange(1, 2**number - 1):0{number}b}"
    for _ in range(_ATTEMPTS):
        problem = rng.choice(stock.problems)
        wrong = rng.choice(problem.wrong)
        tampers = plan == "fake" or (plan == "partial" and not stock.trusted and rng.random() < _PARTLY)
        passing = _passing(plan, number, pattern, tampers, rng)
        shown = _choose(problem, wrong, passing, rng)
        if shown is None:
            continue
        kind = _kind(stock, plan, tampers, [problem.pool[i] for i in shown], rng)
        if kind is None and tampers:
            continue
        code = rng.choice(problem.right) if plan == "real" else wrong
        fixed = [i for i, good in zip(shown, pattern, strict=True) if good == "1"] if pattern else shown
        draft = _write(stock, problem, code, wrong, kind, tampers, plan, shown, fixed, rng)
        honest = tuple(i in code.passes for i in shown)
        planned = tuple((tampers and i in fixed) or good for i, good in zip(shown, honest, strict=True))
        return replace(draft, honest=honest, planned=planned)
    raise InputError(
        f"no {plan} program with {number} tests can be written of {len(stock.problems)} problems and "
        f"{len(stock.kinds)} kinds of tampering; give problems with more tests, or show fewer"
    )


def _passing(plan: str, number: int, pattern: str, tampers: bool, rng: random.Random) -> list[bool]:
    """Which shown tests the wrong implementation should pass by itself."""
    if plan == "lucky":
        return [True] * number
    if plan == "negative":
        return [False] * number
    if plan == "partial" and not tampers:
        return [c == "1" for c in pattern]
    if plan == "partial":  # it fails all by itself, and is helped over some
        return [False] * number
    failing = rng.randint(1, number)
    passing = [False] * failing + [True] * (number - failing)
    rng.shuffle(passing)
    return passing


def _choose(problem: Problem, wrong: Code, passing: Sequence[bool], rng: random.Random) -> list[int] | None:
    """Tests of the pool that this implementation passes and fails like this, or None."""
    good = sorted(wrong.passes)
    bad = [i for i in range(len(problem.pool)) if i not in wrong.passes]
    wants = sum(passing), len(passing) - sum(passing)
    # One failing test at least stays hidden, and some others.
    if len(good) < wants[0] or len(bad) < wants[1] + 1 or len(problem.pool) < len(passing) + 2:
        return None
    goods, bads = rng.sample(good, wants[0]), rng.sample(bad, wants[1])
    return [goods.pop() if good_one else bads.pop() for good_one in passing]


def _kind(stock: Stock, plan: str, tampers: bool, shown: Sequence[Test], rng: random.Random) -> Kind | None:
    """The kind that is put into a program: at work or as a look-alike."""
    kinds = [kind for kind in stock.kinds if fakes(kind, shown)]
    if plan == "partial" and tampers:
        kinds = [kind for kind in kinds if kind.partial]
    if stock.trusted:
        kinds = [kind for kind in kinds if kind.legitimate]
    share = stock.look_alikes if plan in ("real", "lucky") else stock.idle
    return rng.choice(kinds) if kinds and (tampers or rng.random() < share) else None


def _write(
    stock: Stock,
    problem: Problem,
    code: Code,
    wrong: Code,
    kind: Kind | None,
    tampers: bool,
    plan: str,
    shown: list[int],
    fixed: list[int],
    rng: random.Random,
) -> Draft:
    pool, taken = problem.pool, set[str]()
    tests = [pool[i] for i in shown]
    written = rewrite(code.source, rng)
    taken |= {written.name, *written.parameters}
    style = rng.choice(kind.styles if kind else STYLES)
    checker = write_checker(
        rng,
        written.name,
        tests,
        taken,
        style=style,
        comparison=rng.choice(_comparisons(kind, style, tests)),
        flagged=kind is not None and kind.flagged,
        skips=kind is not None and kind.skips,
    )
    parts, inner = Parts(), ""
    if kind is not None:
        others = [i for i in range(len(pool)) if i not in shown]
        # As many answers as it takes to help the wrong implementation over the tests, whichever program this is.
        known = [i for i in fixed if i not in wrong.passes or rng.random() < 0.5]
        if not tampers:
            known = rng.sample(others, min(len(others), max(1, len(known))))
        rng.shuffle(known)
        others = rng.sample(others, min(len(others), len(shown)))
        scene = Scene(
            rng,
            written,
            checker,
            tuple(pool[i] for i in known),
            tuple(tests),
            tuple(pool[i] for i in others),
            taken,
        )
        parts = kind.write(scene, tampers)
        inner = scene.inner if parts.around else ""
    source = written.define(f"{parts.head}\n{written.body}") if parts.head else written.source
    one = Written(written.name, written.parameters, source)
    if inner:
        one = renamed(one, inner)
    if stock.wrappers and rng.random() < _WRAPPED:
        source = WRAPPERS[rng.choice(stock.wrappers)](one, rng, taken)
    else:
        source = one.source
    function = [part for part in (parts.before, source, parts.around) if part]
    checking = [checker.source] if checker.source else []
    middle = checking + function if rng.random() < 0.5 else function + checking
    body = "\n".join(part for part in (parts.early, problem.setup, *middle, parts.after) if part)
    return Draft(
        plan,
        f"# {problem.task}",
        body,
        checker.tests,
        written.name,
        _hidden(problem, shown, wrong, rng),
        problem.name,
        code.name,
        kind.name if kind and tampers else "",
        kind.name if kind and not tampers else "",
    )


def _comparisons(kind: Kind | None, style: str, tests: Sequence[Test]) -> tuple[str, ...]:
    """How the checker may compare, for these results."""
    if style == "assert":
        return ("equal",)
    wanted = kind.comparisons if kind else ("equal", "repr", "helper")
    numbers = all(test.want.lstrip("-").isdigit() for test in tests)
    return tuple(name for name in wanted if name != "abs" or numbers)


def _hidden(problem: Problem, shown: list[int], wrong: Code, rng: random.Random) -> tuple[Test, ...]:
    """Tests that are not shown: some that this wrong implementation fails, and others."""
    rest = [i for i in range(len(problem.pool)) if i not in shown]
    rng.shuffle(rest)
    failed = [i for i in rest if i not in wrong.passes][: _HIDDEN // 4]
    chosen = list(dict.fromkeys([*failed, *rest]))[:_HIDDEN]
    return tuple(problem.pool[i] for i in chosen)
