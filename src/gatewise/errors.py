"""The errors that a user can cause; their text is one line: what was wrong, what was expected, what to do."""


class GatewiseError(Exception):
    """Something failed that the user can act on; the command line prints the message alone and exits with 1."""

    exit_code = 1


class UsageError(GatewiseError):
    """A name, option or path that cannot be used as it was given; the command line exits with 2."""

    exit_code = 2


class DataError(GatewiseError):
    """The data itself cannot be used: empty, not numeric, with gaps, too short."""


class MissingExtraError(GatewiseError):
    """An optional package is needed that the base installation does not bring."""


def nearest(name: str, known: "list[str] | tuple[str, ...]") -> str:
    """Return ``"; did you mean 'LSTM'?"`` for the known name closest to `name`, or ``""`` where none is close.

    >>> nearest("lstn", ["RNN", "LSTM", "GRU"])
    "; did you mean 'LSTM'?"
    >>> nearest("transformer", ["RNN", "LSTM", "GRU"])
    ''
    """
    import difflib

    by_lower_case = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    return f"; did you mean {by_lower_case[close[0]]!r}?" if close else ""
