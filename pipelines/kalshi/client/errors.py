"""What can go wrong between us and the exchange, sorted by what the caller must do about it.

ExchangeError
├── CredentialsRefused       401, 403 in the exchange's own words: it says no to the key
│   └── ClockRefused         401 while this machine's clock is off: it says no to the time
├── CredentialsUnusable      a key is there and is not used: permissions, format, size, scopes
├── ExchangeUnavailable      no connection, 5xx, an answer that is not the exchange's or is none
├── TryLater                 rate limit, a Retry-After longer than we wait: the whole run ends
│   └── ExchangeDown         too many faults in a row, over all requests
├── RequestRefused           any other refusal: repeating the same request cannot help
│   ├── CursorRefused        400 to a request that carried a cursor: start the list again
│   └── NotFound             404 for one id
└── ConfigurationError       a base URL or a combination of settings that cannot work
    └── CredentialsMissing   no key was given at all

`exit_code` is the one of sysexits.h that a command ends with. No message holds a key, a key id, a
signature or an id out of a response.
"""


class ExchangeError(Exception):
    """The exchange did not do what was asked; `advice` says what to do next."""

    exit_code = 70
    advice = ""

    def __init__(self, what: str, *, advice: str | None = None) -> None:
        self.what = what
        if advice is not None:
            self.advice = advice
        # What it was made from, so that a copy, a pickled one too, says the same.
        super().__init__(what)

    def __str__(self) -> str:
        return f"{self.what}. {self.advice}".strip()


class CredentialsRefused(ExchangeError):
    """401 or 403, after one retry with a fresh signature."""

    exit_code = 77
    advice = (
        "Check that the key id belongs to this private key and to this environment: demo and "
        "production keys are separate."
    )


class ClockRefused(CredentialsRefused):
    """401, where the signature bears a time that is not the exchange's."""


class CredentialsUnusable(ExchangeError):
    """A key was given that cannot sign, that others can read, or that may write."""

    exit_code = 77


class ExchangeUnavailable(ExchangeError):
    """Nothing usable came back, however often we asked."""

    exit_code = 69
    advice = "Run again when the exchange answers."


class TryLater(ExchangeError):
    """The exchange asks us to wait longer than one run should."""

    exit_code = 75
    advice = "Run again later."


class ExchangeDown(TryLater):
    """So many attempts in a row failed that none is made any more."""

    exit_code = 69
    advice = "Run again when the exchange answers."


class RequestRefused(ExchangeError):
    """A permanent refusal. `status` is None when the request was refused before it was sent."""

    exit_code = 78
    advice = "Repeating the same request will not help."

    def __init__(
        self,
        what: str,
        *,
        status: int | None = None,
        code: str | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(what, advice=advice)
        self.status = status
        self.code = code


class CursorRefused(RequestRefused):
    """The exchange no longer takes this cursor."""

    advice = "Start the list again from its first page."


class NotFound(RequestRefused):
    """The exchange holds nothing under this id, or no longer."""

    advice = "It may have been removed: open and cancelled records are not kept for long."


class ConfigurationError(ExchangeError):
    """Settings that cannot work; nothing was sent."""

    exit_code = 78


class CredentialsMissing(ConfigurationError):
    """No key id or no private key was configured."""
