"""The commands; no logic of their own. Nothing heavy is imported before a command is known."""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ulterior.errors import InputError
from ulterior.version import __version__


@dataclass(frozen=True)
class Command:
    """Where a command lives: ``module`` holds its ``config`` dataclass and the function that runs it."""

    about: str
    module: str
    config: str
    run: str = "main"


# A full disk, a quota, a limit on file sizes, a folder that is not ours: the user's to mend, not a bug.
CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)

COMMANDS = {
    "demo": Command("the main job, offline, on the embedded model", "ulterior.bench.demo", "Demo"),
    "bench": Command("tasks x detectors x seeds, in one table", "ulterior.bench.run", "Bench"),
    "bench circuits": Command(
        "which methods find circuits that are known", "ulterior.bench.circuits", "BenchCircuits"
    ),
    "audit": Command(
        "which of your examples does your model handle in an unusual way", "ulterior.audit.run", "Audit"
    ),
    "score": Command("score new examples with the monitor of an audit", "ulterior.audit.score", "Score"),
    "circuit": Command(
        "which heads, edges or neurons carry a behaviour", "ulterior.circuits.command.run", "Circuit"
    ),
    "supervise": Command(
        "have the most anomalous examples labelled, refit, repeat", "ulterior.supervise.run", "Supervise"
    ),
    "list": Command("tasks, detectors, and the sites of a model", "ulterior.listing", "Listing"),
    "data diamonds": Command(
        "generate measurement tampering examples", "ulterior.tasks.tampering.diamonds.data", "DiamondsData"
    ),
    "data functions": Command(
        "generate functions and tests that can be fooled",
        "ulterior.tasks.tampering.functions.data",
        "FunctionsData",
    ),
    "data pairs": Command(
        "pairs of a clean and a corrupted text for a behaviour",
        "ulterior.circuits.behaviours.data",
        "PairsData",
    ),
    "data check": Command(
        "a tampering data set: layout, composition, leaks", "ulterior.tasks.tampering.check", "Check"
    ),
    "data stand-in": Command(
        "small stand-ins for text properties and stories",
        "ulterior.tasks.tampering.stand_ins.data",
        "StandIn",
    ),
    "train tampering": Command(
        "make a measurement predictor of a language model", "ulterior.tasks.tampering.train", "TrainTampering"
    ),
    "train diamonds": Command(
        "train the embedded measurement predictor", "ulterior.tasks.tampering.diamonds.train", "TrainDiamonds"
    ),
    "train functions": Command(
        "train the measurement predictors of functions",
        "ulterior.tasks.tampering.functions.train",
        "TrainFunctions",
    ),
    "train circuits": Command(
        "train a small model to use a known circuit", "ulterior.circuits.truth.train", "TrainCircuits"
    ),
    "train procedural": Command(
        "train the small model of a procedural task", "ulterior.tasks.procedural.train", "TrainProcedural"
    ),
    "train trojans": Command(
        "train the trojaned MiniLMs that ship", "ulterior.tasks.trojans.text.train", "TrainTrojans"
    ),
    "train injection": Command(
        "train the sentiment judge's adapter", "ulterior.tasks.injection.train", "TrainInjection"
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for input that cannot be used, 130 when interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"ulterior {__version__}")
        return 0
    try:
        name, rest = _command(arguments)
        command = COMMANDS[name]
        _run(name, command, rest)
    except InputError as error:
        print(f"ulterior: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ulterior: interrupted; the same command goes on from what is finished", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); that is its right.
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        where = f" '{error.filename}'" if error.filename else ""
        print(f"ulterior: cannot write{where}: {error.strerror}; what was finished is kept", file=sys.stderr)
        return 2
    return 0


def usage() -> str:
    """The text of ``ulterior --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  ulterior {name:<{width}}  {command.about}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "ulterior: did the model do this for the usual reasons?",
            "",
            *lines,
            "",
            "`ulterior COMMAND --help` lists the options of a command; `ulterior --version` the version.",
        ]
    )


def _command(arguments: list[str]) -> tuple[str, list[str]]:
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            return name, arguments[words:]
    known = sorted(COMMANDS)
    family = [name for name in known if name.startswith(arguments[0] + " ")]
    if family:
        raise InputError(f"`ulterior {arguments[0]}` needs one of: {', '.join(family)}")
    raise InputError(f"no command '{arguments[0]}'; there are: {', '.join(known)} (see `ulterior --help`)")


def _run(name: str, command: Command, arguments: list[str]) -> None:
    import warnings

    import tyro

    module = importlib.import_module(command.module)
    config = tyro.cli(
        getattr(module, command.config),
        prog=f"ulterior {name}",
        args=arguments,
        config=(tyro.conf.CascadeSubcommandArgs, tyro.conf.FlagConversionOff),
    )
    warnings.showwarning = _one_line
    getattr(module, command.run)(config)


def _one_line(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Warnings on the command line are one line for people, without the source line that raised them."""
    if category.__module__.startswith("ulterior") or category is UserWarning:
        print(f"ulterior: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
