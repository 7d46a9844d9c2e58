"""Where settings stand: the environment, `.dlt/secrets.toml` and `.dlt/config.toml`, in that order.

The files are those of the folder that the command runs in, so they may be somebody else's: a
downloaded folder has them too. What is found there is typed and judged in `settings`.
"""

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.kalshi.client.errors import ConfigurationError
from pipelines.kalshi.client.private_files import demand_private, read_checked

SECTION = "sources.kalshi"
CONFIG = Path(".dlt/config.toml")
SECRETS = Path(".dlt/secrets.toml")
LARGEST_FILE_BYTES = 1024 * 1024
# How alike a name outside our section is to one of ours before it is taken for a misspelt one:
# SOURCE__KALSHI__SCOPE is, KALSHI_API_KEY and [sources.github] are somebody else's.
ALIKE = 0.85
SHOWN_NAMES = 5
SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Place:
    """A section in one place: its settings by name, and the names beside it that may be meant."""

    path: Path | None
    section: str
    values: Mapping[str, object] = field(repr=False, default_factory=dict)
    others: tuple[str, ...] = ()

    def spelt(self, name: str) -> str:
        """How the setting *name* is written here."""
        return f"{prefix(self.section)}{name.upper()}" if self.path is None else name

    def where(self, name: str) -> str:
        """Which setting is meant, and where it stands."""
        if self.path is None:
            return f"{self.spelt(name)} in the environment"
        return f"[{self.section}] {name} in {self.path.absolute()}"


def prefix(section: str) -> str:
    """How the environment spells the beginning of each setting of *section*."""
    return "".join(f"{part}__" for part in section.upper().split("."))


def places(section: str = SECTION) -> tuple[Place, Place, Place]:
    """*section* in every place, the one that decides first.

    Raises `ConfigurationError` for a file that cannot be read or is no TOML, and
    `CredentialsUnusable` for a `secrets.toml` that others can read.
    """
    return environment(section), _file(SECRETS, section), _file(CONFIG, section)


def without_effect(place: Place, known: tuple[str, ...]) -> str | None:
    """One line about the names in *place* that look like settings and are none."""
    names = [*_unknown(place, known), *_astray(place, known)]
    if not names:
        return None
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    where = "the environment" if place.path is None else place.path.absolute()
    return f"no setting, so without effect, in {where}: {', '.join(names[:SHOWN_NAMES])}{more}"


def _unknown(place: Place, known: tuple[str, ...]) -> Iterator[str]:
    for name in place.values:
        if name not in known:
            nearest = difflib.get_close_matches(_shown(name), known, 1)
            yield _shown(place.spelt(name)) + _meant(*map(place.spelt, nearest))


def _astray(place: Place, known: tuple[str, ...]) -> Iterator[str]:
    ours = [place.spelt(name) for name in known]
    if place.path is not None:
        ours.append(f"[{place.section}]")
    for name in place.others:
        shown = _shown(name)
        nearest = difflib.get_close_matches(
            shown.upper() if place.path is None else shown, ours, 1, ALIKE
        )
        if nearest:
            section = (
                "" if place.path is None or name.startswith("[") else f" under [{place.section}]"
            )
            yield shown + _meant(nearest[0] + section)


def _meant(*nearest: str) -> str:
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def _shown(name: str) -> str:
    """*name* without what would move a terminal's cursor, and not at any length."""
    return ascii(name[:SHOWN_CHARACTERS])[1:-1]


def environment(section: str) -> Place:
    """*section* in the environment alone, which needs no file to be readable."""
    begin, last = prefix(section), section.upper().split(".")[-1]
    ours = {name for name in os.environ if name.startswith(begin) and name == name.upper()}
    values = {name.removeprefix(begin).lower(): os.environ[name] for name in sorted(ours)}
    others = sorted(name for name in os.environ.keys() - ours if last in name.upper())
    return Place(None, section, values, tuple(others))


def _file(path: Path, section: str) -> Place:
    try:
        content = read_checked(path, LARGEST_FILE_BYTES + 1, lambda opened: _check(path, opened))
    except FileNotFoundError:
        if not path.is_symlink():
            return Place(path, section)
        raise _unusable(path, "is a link to nothing") from None
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror})") from None
    if len(content) > LARGEST_FILE_BYTES:
        raise _unusable(path, f"is larger than {LARGEST_FILE_BYTES:,} bytes")
    document = _document(path, content)
    return Place(
        path, section, _section(path, document, section), tuple(_others(document, section))
    )


def _check(path: Path, opened: os.stat_result) -> None:
    if not stat.S_ISREG(opened.st_mode):
        raise _unusable(path, "is not a regular file")
    if path == SECRETS:
        demand_private("secrets file", path.absolute(), opened)


def _document(path: Path, content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _unusable(path, "is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        # The rest of the message quotes the file.
        line = re.search(r"\(at line \d+, column \d+\)", str(error))
        raise _unusable(path, f"is not TOML {line.group() if line else ''}".rstrip()) from None


def _section(path: Path, document: dict[str, Any], section: str) -> dict[str, Any]:
    node: Any = document
    for name in section.split("."):
        node = node.get(name, {})
        if not isinstance(node, dict):
            raise _unusable(path, f"holds a value named {name} where [{section}] should be")
    return dict(node)


def _others(document: dict[str, Any], section: str) -> Iterator[str]:
    for name, node in document.items():
        if not isinstance(node, dict):
            yield name
            continue
        if name != section:
            yield f"[{name}]"
        yield from (
            f"[{name}.{inner}]"
            for inner, below in node.items()
            if isinstance(below, dict) and f"{name}.{inner}" != section
        )


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The settings file {path.absolute()} {why}",
        advice="Mend it or remove it; every setting can also stand in the environment.",
    )
