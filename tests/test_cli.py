"""The command line: names, exit codes, one line for what cannot be used."""

from __future__ import annotations

import importlib

import pytest

from ulterior import cli
from ulterior.errors import InputError


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_that_help_names_exists_and_explains_itself(name, capsys):
    command = cli.COMMANDS[name]
    module = importlib.import_module(command.module)
    assert callable(getattr(module, command.run))
    with pytest.raises(SystemExit) as stopped:
        cli.main([*name.split(), "--help"])
    assert stopped.value.code == 0
    assert "usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["adit"], "no command 'adit'; there are: audit, bench,"),
        (["data"], "`ulterior data` needs one of: data check, data diamonds"),
        (
            ["train", "nothing"],
            "`ulterior train` needs one of: train circuits, train diamonds, train functions",
        ),
    ],
)
def test_an_unknown_command_is_named_with_those_that_exist(arguments, message, capsys):
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_wrong_option_exits_with_code_2():
    with pytest.raises(SystemExit) as stopped:
        cli.main(["audit", "--nonsense"])
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("the file 'x' is empty"), 2, "ulterior: the file 'x' is empty\n"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_for_people_are_one_line(error, code, message, monkeypatch, capsys):
    def fail(name, command, arguments):
        raise error

    monkeypatch.setattr(cli, "_run", fail)
    assert cli.main(["demo"]) == code
    assert message in capsys.readouterr().err


def test_no_arguments_print_the_usage(capsys):
    assert cli.main([]) == 0
    assert "ulterior COMMAND --help" in capsys.readouterr().out
