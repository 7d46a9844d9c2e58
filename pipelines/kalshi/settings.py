"""The settings of the source, one table of them: how each is spelt, what it may be, what it means.

The command line decides, then the environment (SOURCES__KALSHI__…), then `.dlt/secrets.toml`, then
`.dlt/config.toml`, both of the folder that the command runs in. No other file is read, and dlt sees
none of them.

`config.toml` is the file that people hand on, so it cannot say whose key is used, nor that a key
which may write is. And no file can send signed requests to a host that is none of the exchange's:
who downloads a folder and runs `rfq` in it would not know.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from pipelines.kalshi.client.errors import ConfigurationError
from pipelines.kalshi.client.origin import KNOWN_HOSTS
from pipelines.kalshi.client.signing import Signer, load_signer
from pipelines.kalshi.extraction import Limits, LoadSettings
from pipelines.kalshi.found import CONFIG, SECRETS, SECTION, Place, places, without_effect

PRODUCTION = "https://external-api.kalshi.com/trade-api/v2"
REJECTED_SHARE = Limits().rejected_share
LONGEST_ACCOUNT = 200

_USUAL = LoadSettings()
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a setting may be, in words, and how it is read; reading raises ValueError otherwise."""

    expected: str
    read: Callable[[object], Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of a section. A private one is not taken from `config.toml`."""

    name: str
    kind: Kind
    usual: Any
    meaning: str
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """Which exchange is asked, as whom, and for how much.

    *rejected_share* is how many of the rows may be unreadable, *account* the one whose database
    this is, where a database holds several.
    """

    base_url: str
    signer: Signer
    reach: LoadSettings
    allow_unknown_host: bool = False
    allow_writing_key: bool = False
    rejected_share: float = REJECTED_SHARE
    account: str | None = None


def _text(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not text or not text.isprintable():
        raise ValueError
    return text


def _path(value: object) -> Path:
    path = Path(_text(value))
    try:
        return path.expanduser()
    except RuntimeError:
        # There is no such user, and so no such file: whoever opens it says so.
        return path


def _pem(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    # Bytes of the environment that are no text raise a ValueError here.
    return value.encode().decode()


def _account(value: object) -> str:
    text = _text(value)
    if not text.isascii() or len(text) > LONGEST_ACCOUNT:
        raise ValueError
    return text


def _yes_or_no(value: object) -> bool:
    known = {"true": True, "false": False}.get(str(value).lower())
    if known is None:
        raise ValueError
    return known


def _one_of(*words: str) -> Kind:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return Kind(" or ".join(words), read)


def whole(least: int, most: int) -> Kind:
    """What is a whole number from *least* to *most*."""

    def read(value: object) -> int:
        # The environment holds text alone; in a file, true would pass for 1.
        if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
            value = int(value)
        if type(value) is not int or not least <= value <= most:
            raise ValueError
        return value

    return Kind(f"a whole number from {least:,} to {most:,}", read)


def _share(value: object) -> float:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{0,9}\.?[0-9]{1,18}", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    # Neither nan nor infinity lies in between.
    if not 0 <= value <= 1:
        raise ValueError
    return float(value)


SETTINGS = (
    Setting("base_url", Kind("text", _text), PRODUCTION, "the exchange to read"),
    Setting("api_key_id", Kind("text", _text), None, "the id of your API key", is_private=True),
    Setting(
        "private_key_path",
        Kind("the path of a file", _path),
        None,
        "its private key: a PEM file of mode 600",
        is_private=True,
    ),
    Setting(
        "private_key",
        Kind("PEM text", _pem),
        None,
        "or the PEM text itself, instead of a path",
        is_private=True,
    ),
    Setting(
        "scope",
        _one_of("market", "self"),
        _USUAL.scope,
        "`market` loads every RFQ, `self` only your own",
    ),
    Setting(
        "account",
        Kind(f"1 to {LONGEST_ACCOUNT} printable ASCII characters", _account),
        None,
        "the communications id that the key must be of; where an earlier version has put several "
        "accounts into one file, whose figures are shown",
    ),
    Setting(
        "overlap_seconds",
        whole(0, 86_400),
        _USUAL.overlap // timedelta(seconds=1),
        "how far before the watermark each run starts again",
    ),
    Setting(
        "retention_days",
        whole(1, 365),
        _USUAL.retention.days,
        "how long the exchange keeps closed RFQs and cancelled quotes",
    ),
    Setting(
        "history_days",
        whole(1, 3_650),
        _USUAL.history.days,
        "how far a first load looks for accepted and executed quotes, which it keeps",
    ),
    Setting(
        "rejected_share",
        Kind("a number from 0 to 1", _share),
        REJECTED_SHARE,
        "above this share of unreadable rows (and ten of them) nothing is published, and they are "
        "read again",
    ),
    Setting(
        "allow_writing_key",
        Kind("true or false", _yes_or_no),
        False,
        "use the key although the exchange says that it may also write",
        is_private=True,
    ),
)
NAMES = tuple(setting.name for setting in SETTINGS)
_KEYS = ("private_key", "private_key_path")


def configured_access(
    base_url: str | None = None, *, allow_unknown_host: bool = False
) -> ExchangeSettings:
    """Read all settings; *base_url* is the command line's. Raises `ConfigurationError` and kin."""
    found = _places(SECTION, NAMES)
    values = {setting.name: _value(setting, found) for setting in SETTINGS}
    values["base_url"] = _own_host(found, values["base_url"]) if base_url is None else base_url
    return _access(values, allow_unknown_host=allow_unknown_host)


def given_access(given: Mapping[str, object]) -> ExchangeSettings:
    """Read the settings *given* by name; None for one that is not. Raises `ConfigurationError`."""
    return _access({setting.name: _given(setting, given.get(setting.name)) for setting in SETTINGS})


def _given(setting: Setting, value: object) -> Any:
    if value is None:
        return setting.usual
    try:
        return setting.kind.read(value)
    except ValueError:
        raise ConfigurationError(
            f"{setting.name} of the source kalshi is not {setting.kind.expected}",
            advice="Change it, or leave it out to have the default.",
        ) from None


def _access(values: Mapping[str, Any], *, allow_unknown_host: bool = False) -> ExchangeSettings:
    signer = load_signer(
        values["api_key_id"] or "",
        private_key=values["private_key"],
        private_key_path=values["private_key_path"],
    )
    return ExchangeSettings(
        base_url=values["base_url"],
        signer=signer,
        reach=LoadSettings(
            scope=values["scope"],
            overlap=timedelta(seconds=values["overlap_seconds"]),
            retention=timedelta(days=values["retention_days"]),
            history=timedelta(days=values["history_days"]),
        ),
        allow_unknown_host=allow_unknown_host,
        allow_writing_key=values["allow_writing_key"],
        rejected_share=values["rejected_share"],
        account=values["account"],
    )


def configured(*names: str) -> tuple[Any, ...]:
    """Read the settings *names*, for what asks no exchange. Raises `ConfigurationError` and kin."""
    return configured_of(SECTION, SETTINGS, *names)


def configured_of(section: str, settings: Sequence[Setting], *names: str) -> tuple[Any, ...]:
    """Read *names* of a *section* that has these *settings*. Raises as `configured` does."""
    found = _places(section, tuple(setting.name for setting in settings))
    by_name = {setting.name: setting for setting in settings}
    return tuple(_value(by_name[name], found) for name in names)


def _places(section: str, known: tuple[str, ...]) -> tuple[Place, ...]:
    found = places(section)
    for place in found:
        if line := without_effect(place, known):
            _log.warning("rfq: %s", line)
    return found


def _value(setting: Setting, found: tuple[Place, ...]) -> Any:
    place = _decides(setting.name, found)
    if place is None or setting.name not in place.values:
        return setting.usual
    where = place.where(setting.name)
    if setting.is_private and place.path == CONFIG:
        raise ConfigurationError(
            f"{where} is not taken from there, because that file is made to be handed on",
            advice=f"Move it to {SECRETS} (chmod 600), or set it in the environment.",
        )
    try:
        return setting.kind.read(place.values[setting.name])
    except ValueError:
        raise ConfigurationError(
            f"{where} is not {setting.kind.expected}",
            advice="Change it, or remove it to have the default.",
        ) from None


def _decides(name: str, found: tuple[Place, ...]) -> Place | None:
    """The first place that holds *name*; the two spellings of a key are one setting."""
    names = _KEYS if name in _KEYS else (name,)
    return next((place for place in found if any(each in place.values for each in names)), None)


def _own_host(found: tuple[Place, ...], base_url: str) -> str:
    """*base_url*, unless a file leads to a host that is none of the exchange's own."""
    place = _decides("base_url", found)
    try:
        host = httpx.URL(base_url).host
    except httpx.InvalidURL:
        # Whoever opens it says so.
        return base_url
    if place is None or place.path is None or host in KNOWN_HOSTS:
        return base_url
    raise ConfigurationError(
        f"{place.where('base_url')} leads to {host or 'no host'}, which is none of the "
        "exchange's hosts, so nothing was sent",
        advice="If you mean it, say it with --base-url or SOURCES__KALSHI__BASE_URL; "
        "if not, remove the line.",
    )
