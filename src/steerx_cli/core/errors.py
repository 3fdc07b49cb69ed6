"""What a person is meant to read when something ends early."""


class SteerxError(Exception):
    """One sentence that says what is wrong and what to do; `app` prints it and exits with 2."""


class Interrupted(SteerxError):
    """Ctrl-C in the middle of work: the sentence says what is kept; `app` exits with 130."""
