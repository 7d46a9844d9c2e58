"""What dlt would do with our secrets and we refuse, before it has started."""

import os
from collections.abc import Iterator
from pathlib import Path

from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.providers.toml import SettingsTomlProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from pipelines.kalshi.errors import ConfigurationError, CredentialsUnusable

_SENTRY = "RUNTIME__SENTRY_DSN"


def demand_private_secrets() -> None:
    """Raise `CredentialsUnusable` when others can read a `secrets.toml` that dlt has read."""
    for path in _secrets_files():
        status = path.stat()
        if status.st_uid not in (os.geteuid(), 0):
            raise CredentialsUnusable(
                f"The secrets file {path} belongs to another user",
                advice=f"Run: sudo chown {os.geteuid()} '{path}'",
            )
        if status.st_mode & 0o077:
            raise CredentialsUnusable(
                f"Others can read the secrets file {path} (mode {status.st_mode & 0o777:03o})",
                advice=f"Run: chmod 600 '{path}'",
            )


def demand_no_crash_reports() -> None:
    """Raise `ConfigurationError` when dlt is told to report to Sentry, local variables and all.

    To be called before dlt reads any setting, as it starts Sentry then.
    """
    in_environment = os.environ.get(_SENTRY)
    # The environment outranks dlt's files, and an empty address is none.
    os.environ[_SENTRY] = ""
    files = [each for each in _providers() if isinstance(each, SettingsTomlProvider)]
    in_files = [file.get_value("sentry_dsn", str, "", "runtime")[0] for file in files]
    if in_environment or any(in_files):
        raise ConfigurationError(
            "a Sentry DSN is configured, and its reports would hold the private key",
            advice=f"Remove {_SENTRY} or [runtime] sentry_dsn.",
        )


def _secrets_files() -> Iterator[Path]:
    for provider in _providers():
        if isinstance(provider, SettingsTomlProvider) and provider.supports_secrets:
            yield from (Path(path).resolve() for path in provider.present_locations)


def _providers() -> list[ConfigProvider]:
    return list(Container()[PluggableRunContext].providers.providers)
