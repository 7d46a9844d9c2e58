"""Where signed requests may go, and which addresses are one exchange."""

import ipaddress

import httpx

from pipelines.kalshi.client.errors import ConfigurationError
from pipelines.kalshi.client.rate_budget import API_PREFIX

# Each exchange with its hosts; what was stored under one is found under every other.
EXCHANGES = {
    "production": ("external-api.kalshi.com", "api.elections.kalshi.com"),
    "demo": ("external-api.demo.kalshi.co", "demo-api.kalshi.co"),
}
KNOWN_HOSTS = tuple(host for hosts in EXCHANGES.values() for host in hosts)
SANDBOX = "sandbox"


def checked_base_url(base_url: str, *, allow_unknown_host: bool = False) -> httpx.URL:
    """*base_url* as a URL, if a signature may be sent there.

    https to one of the exchange's hosts, or http to this machine; any other host over https only
    when the caller allows it. Raises ConfigurationError.
    """
    try:
        url = httpx.URL(base_url.strip().rstrip("/"))
    except httpx.InvalidURL:
        raise _unusable("it is not a URL") from None
    if url.userinfo or url.query or url.fragment:
        raise _unusable("it holds a user name, a query or a fragment")
    # As it is sent: an escaped letter is another path to whoever compares.
    if url.raw_path.decode() != API_PREFIX:
        raise _unusable(f"its path is not {API_PREFIX}")
    if url.scheme == "http" and not is_loopback(url.host):
        raise _unusable("http is for this machine only; use https")
    if url.scheme not in ("http", "https"):
        raise _unusable("it does not begin with https://")
    if url.host not in KNOWN_HOSTS and not is_loopback(url.host) and not allow_unknown_host:
        raise _unusable(f"{url.host} is not one of the exchange's hosts (--allow-unknown-host)")
    return url


def origin_of(url: httpx.URL) -> str:
    """Scheme, host and port, the port always written out."""
    port = url.port or {"https": 443, "http": 80}.get(url.scheme)
    return f"{url.scheme}://{url.netloc.decode().removesuffix(f':{url.port}')}:{port}"


def origins_of_exchange(origin: str) -> tuple[str, ...]:
    """Every origin of the exchange that *origin* belongs to, the one that is stored first."""
    for hosts in EXCHANGES.values():
        origins = tuple(f"https://{host}:443" for host in hosts)
        if origin in origins:
            return origins
    return (origin,)


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unusable(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The base URL cannot be used: {why}",
        advice=" ".join(
            f"{name.capitalize()} is https://{hosts[0]}{API_PREFIX}."
            for name, hosts in EXCHANGES.items()
        ),
    )
