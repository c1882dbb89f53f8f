"""A monitor: a fitted panel, the model it belongs to, and the threshold, in a folder of safetensors and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

# Every feature and score that a monitor may hold is known once the panels have been imported, and what
# `ulterior supervise` refits.
import ulterior.detectors.panels
import ulterior.supervise.refit  # noqa: F401
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.files import write_whole
from ulterior.panel import DetectorScores, FittedPanel, PanelSettings
from ulterior.serialise import pack, unpack
from ulterior.subject import Subject
from ulterior.version import __version__

SETTINGS, TENSORS = "monitor.json", "monitor.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class SubjectOptions:
    """Which model to examine and how examples become its inputs.

    Attributes:
        model: Hub id or folder of a Hugging Face model.
        adapter: Folder of a PEFT adapter that is merged into the model, if any.
        dtype: ``auto`` keeps the checkpoint's (on a CPU that is slow at half precision: ``float32``); or ``float32``,
            ``bfloat16``, ``float16``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        device_map: Passed on to transformers for models that span devices (``auto``).
        column: Column with the text, or with chat messages (lists of role and content).
        chat: Whether text goes through the chat template: ``auto`` does so for chat messages only.
        answers: Two words whose logit difference is the behaviour; without them, how far the most likely next
            token leads the second.
        max_length: Longest input in tokens; the model's own context if not given.
        overlong: Whether a longer text is an ``error`` or is cut (``truncate``).
        trust_remote_code: Whether code that comes with the model may run.
    """

    model: str
    adapter: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    device_map: str | None = None
    column: str = "text"
    chat: Literal["auto", "yes", "no"] = "auto"
    answers: tuple[str, str] | None = None
    max_length: int | None = None
    overlong: Literal["error", "truncate"] = "error"
    trust_remote_code: bool = False

    def open(self) -> Subject:
        """Load the model."""
        options: dict[str, Any] = asdict(self)
        source = options.pop("model")
        options["chat"] = {"auto": "auto", "yes": True, "no": False}[self.chat]
        if self.device_map is not None:
            del options["device"]
        return Subject.from_pretrained(source, **options)


@dataclass(frozen=True, eq=False)
class Monitor:
    """What ``ulterior audit`` leaves behind and ``ulterior score`` uses.

    Attributes:
        options: How to load the model.
        fingerprint: Of the model that the panel was fitted on; no other is accepted.
        panel: The fitted and calibrated detectors.
        decide: Name of the detector whose p-value decides.
        alpha: Examples with ``p <= alpha`` are flagged.
    """

    options: SubjectOptions
    fingerprint: str
    panel: FittedPanel
    decide: str
    alpha: float

    def open_subject(self) -> Subject:
        """Load the model that the monitor belongs to, and make sure that it is that model."""
        subject = self.options.open()
        self.check(subject)
        return subject

    def check(self, subject: Subject) -> None:
        """Raise an ``InputError`` unless this subject is the one that the panel was fitted on."""
        found = subject.fingerprint()
        if found != self.fingerprint:
            raise InputError(
                f"this monitor was fitted on another model: its fingerprint is {self.fingerprint[:12]}, that of"
                f" '{subject.name}' is {found[:12]}; give the model of the audit, or run `ulterior audit` on this one"
            )

    def score(
        self, subject: Subject, examples: Examples, settings: PanelSettings | None = None
    ) -> dict[str, DetectorScores]:
        """Scores and p-values of every detector for these examples, one forward pass each."""
        return self.panel.score(subject, examples, settings)

    def save(self, folder: Path) -> None:
        """Write ``monitor.json`` and ``monitor.safetensors``; the JSON comes last and makes the folder whole."""
        described, tensors = pack(
            {
                "detectors": tuple(self.panel.detectors),
                "calibrations": dict(self.panel.calibrations),
                "skipped": dict(self.panel.skipped),
            }
        )
        settings = {
            "format": FORMAT,
            "version": __version__,
            "subject": asdict(self.options),
            "fingerprint": self.fingerprint,
            "decide": self.decide,
            "alpha": self.alpha,
            "panel": described,
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / SETTINGS).unlink(missing_ok=True)
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / TENSORS)
            write_whole(folder / SETTINGS, json.dumps(settings, indent=1) + "\n")
        except (OSError, SafetensorError) as error:
            raise InputError(f"cannot write the monitor to '{folder}': {error}") from error

    @staticmethod
    def load(folder: Path | str) -> Monitor:
        """Read a monitor back.

        Raises:
            InputError: nothing there, half-written, damaged, or written by a newer version.
        """
        folder = Path(folder)
        settings = _read_settings(folder)
        try:
            stored = unpack(settings["panel"], load_file(folder / TENSORS))
            panel = FittedPanel(tuple(stored["detectors"]), stored["calibrations"], {}, stored["skipped"])
            return Monitor(
                SubjectOptions(**_with_tuples(settings["subject"])),
                settings["fingerprint"],
                panel,
                settings["decide"],
                settings["alpha"],
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"the monitor in '{folder}' is damaged ({type(error).__name__}: {error}); run `ulterior audit` again"
            ) from error


def _read_settings(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS
    if not path.is_file():
        half = " (half-written: the audit that made it did not finish)" if (folder / TENSORS).exists() else ""
        raise InputError(
            f"no monitor in '{folder}'{half}; expected {SETTINGS} and {TENSORS}, as `ulterior audit` writes"
        )
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"'{path}' is not readable JSON: {error}") from error
    if not isinstance(settings, dict) or settings.get("format") != FORMAT:
        found = settings.get("format") if isinstance(settings, dict) else None
        raise InputError(
            f"'{path}' has format {found}, this version reads format {FORMAT}; run `ulterior audit` again"
        )
    return settings


def _with_tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
