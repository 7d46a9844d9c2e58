"""Who is told how a run ended: a ping service, a chat, a file that Prometheus reads.

The settings are secrets, as who knows an address can write to it: they are taken from the
environment and from `secrets.toml`, never from a `config.toml`, and no line of the log shows them.
Nothing here ends a run, changes its exit code or keeps it for more than `LASTS_AT_MOST_S`. No id,
ticker or message of the exchange leaves this machine.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import httpx

from pipelines.kalshi.client.errors import ExchangeError
from pipelines.kalshi.found import CONFIG, Place, environment, places, without_effect

LASTS_AT_MOST_S = 5.0
SECTION = "alerts"
NAMES = ("ping_url", "webhook_url", "textfile")
# Whoever reads the file for Prometheus is another user.
TEXTFILE_MODE = 0o644

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Alerts:
    """The settings of [alerts]; None for what is not wanted."""

    ping_url: httpx.URL | None = field(repr=False, default=None)
    webhook_url: httpx.URL | None = field(repr=False, default=None)
    textfile: Path | None = None


def configured_alerts() -> Alerts:
    """Read the settings; what cannot be used of them is warned of and left out."""
    found: tuple[Place, ...]
    try:
        found = places(SECTION)
    except ExchangeError:
        # Whoever needs the key says what is wrong with the file.
        found = (environment(SECTION),)
    for place in found:
        if place.path == CONFIG and place.values:
            _log.warning(
                "[alerts] of %s has no effect: that file is made to be handed on. Set it in the "
                "environment or in .dlt/secrets.toml",
                CONFIG,
            )
        elif line := without_effect(place, NAMES):
            _log.warning("rfq: %s", line)
    taken = [place for place in found if place.path != CONFIG]
    return Alerts(_url("ping_url", taken), _url("webhook_url", taken), _path(taken))


def _setting(name: str, taken: list[Place]) -> str | None:
    place = next((place for place in taken if name in place.values), None)
    value = None if place is None else place.values[name]
    if isinstance(value, str) and value.strip():
        return value.strip()
    if place is not None:
        _log.warning("[alerts] %s is no text, so without effect", name)
    return None


def _url(name: str, taken: list[Place]) -> httpx.URL | None:
    text = _setting(name, taken)
    if text is None:
        return None
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL("")
    if url.scheme in ("http", "https") and url.host:
        return url
    _log.warning("[alerts] %s is no address that begins with https://, so without effect", name)
    return None


def _path(taken: list[Place]) -> Path | None:
    text = _setting("textfile", taken)
    return None if text is None else Path(text)


def ping(url: httpx.URL, sign: str) -> str | None:
    """Tell a service like healthchecks that a run started or, with its exit code, ended.

    Returns what went wrong, without the address; None when it was told.
    """
    return _asked("GET", url.copy_with(path=f"{url.path.rstrip('/')}/{sign}"), None)


def tell(url: httpx.URL, text: str) -> str | None:
    """Post *text* to a chat. Returns what went wrong, without the address."""
    return _asked("POST", url, {"text": text})


def _asked(method: str, url: httpx.URL, body: dict[str, str] | None) -> str | None:
    try:
        # Neither a proxy nor a file of certificates out of the environment, as for the exchange.
        with (
            httpx.Client(
                timeout=LASTS_AT_MOST_S, follow_redirects=False, trust_env=False
            ) as client,
            client.stream(method, url, json=body) as answer,
        ):
            return None if answer.is_success else f"HTTP {answer.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return type(error).__name__


def write_textfile(path: Path, text: bytes) -> str | None:
    """Put *text* at *path* at once, for everybody to read. Returns what went wrong."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
            os.fchmod(file.fileno(), TEXTFILE_MODE)
        draft.replace(path)
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


class Errand:
    """Something to be told to others, in a thread: it may take its time, and fail in any way."""

    def __init__(self, what: str, does: Callable[[], str | None]) -> None:
        self.what = what
        self._does = does
        self._failure: str | None = "it failed"
        self._due_s = time.monotonic() + LASTS_AT_MOST_S
        self._thread = Thread(target=self._do, name=what, daemon=True)
        self._thread.start()

    def _do(self) -> None:
        try:
            self._failure = self._does()
        except Exception as failure:  # noqa: BLE001 -- a thread would show it with its traceback
            self._failure = type(failure).__name__

    def failure(self) -> str | None:
        """Wait until it is over, or has taken too long; return what went wrong."""
        self._thread.join(max(0.0, self._due_s - time.monotonic()))
        if self._thread.is_alive():
            return f"it took longer than {LASTS_AT_MOST_S:.0f} s"
        return self._failure
