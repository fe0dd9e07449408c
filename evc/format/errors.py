"""Every error EVC raises for bad input: catching `EvcError` catches them all. And the category of its warnings."""

from __future__ import annotations

SALVAGE = "salvage=True recovers what is whole"  # what helps where a file is damaged


class EvcError(Exception):
    """Base of all errors a caller can meet: the message is one line, fit for a user."""


class FormatError(EvcError):
    """The bytes are not EVC, or are intact but break a rule or a limit of the format."""


class DamagedError(EvcError):
    """The bytes were EVC once: a CRC or a checksum does not match, or the file ends too early.

    `segment` is the number of the damaged segment, or None where the damage is elsewhere. `message` is without what
    `helps`, if anything does.
    """

    def __init__(self, message: str, segment: int | None = None, helps: str = "") -> None:
        super().__init__(message, segment, helps)
        self.message, self.segment, self.helps = message, segment, helps

    def __str__(self) -> str:
        return f"{self.message} ({self.helps})" if self.helps else self.message


class UnsupportedError(EvcError):
    """An intact file that this version cannot read: another major version, an unknown critical
    chunk or stream, a network that is missing or has other weights."""


class InputError(EvcError):
    """What the caller handed over cannot be encoded or done: bad audio, bad arguments, a place to write to that has no
    room."""


class OutputError(InputError):
    """What was to be written cannot be: the disk is full, the folder is not there or is protected. Nothing of it is
    left behind."""


def reason(error: EvcError) -> str:
    """What is wrong, without what helps."""
    return error.message if isinstance(error, DamagedError) else str(error)


class EvcWarning(UserWarning):
    """What a caller should know of something that was done all the same, in one line: a sound file that ends elsewhere
    than it says, bytes behind the end of an .evc file. Issued through `warnings`; the command prints it on standard
    error."""
