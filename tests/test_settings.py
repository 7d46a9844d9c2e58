"""Our own settings: where each is found, what it may be, and what a found file cannot do."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import build_settings
from pipelines.build_settings import configured_maturity_s
from pipelines.kalshi.extraction import Limits
from pipelines.kalshi.found import LARGEST_FILE_BYTES, prefix
from pipelines.kalshi.settings import (
    NAMES,
    PRODUCTION,
    REJECTED_SHARE,
    SETTINGS,
    configured,
    configured_access,
)
from pipelines.operations import alerts
from pipelines.sandbox import Account
from tests.running import Command

ROOT = Path(__file__).parent.parent
HEAD = "[sources.kalshi]\n"
PREFIX = prefix("sources.kalshi")
OUT_OF_RANGE = {
    "overlap_seconds": ["-600", "86401", str(10**15)],
    "retention_days": ["0", "-5", "366", "3.5", '"1e3"', '" 7 "', '""', "true", "[7]", "{ a = 7 }"],
    "history_days": ["-1", "0", "3651", "2026-11-01", "9" * 400],
    "rejected_share": ["nan", "inf", "-inf", "7", "-0.1", '"nan"', '"some"', '""', "true", "[]"],
    "allow_writing_key": ["1", '"yes"', '""'],
    "scope": ['"Market"', "1", '""'],
    "account": ['""', f'"{"x" * 201}"', '"naïve"', '"a\\tb"', "7"],
    "base_url": ["7", '""', '"https://external-api.kalshi.com/\\u0000"'],
    "private_key_path": ["7", '""', '"a\\u0000b"'],
    "private_key": ["7", '" "'],
    "api_key_id": ["12345", '""'],
}
NUMBERS = ("overlap_seconds", "retention_days", "history_days", "rejected_share")
BAD = [(name, value) for name, values in OUT_OF_RANGE.items() for value in values]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the command runs in, with a `.dlt` in it."""
    folder = tmp_path / "here"
    (folder / ".dlt").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def config(here: Path) -> Callable[[str], Path]:
    """Write `.dlt/config.toml`."""

    def write(text: str) -> Path:
        path = here / ".dlt" / "config.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def secrets(here: Path) -> Callable[..., Path]:
    """Write `.dlt/secrets.toml`, for its owner alone unless told otherwise."""

    def write(text: str, mode: int = 0o600) -> Path:
        path = here / ".dlt" / "secrets.toml"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_value_out_of_range_in_a_file_is_named_with_its_range_and_its_file(
    rfq: Command, secrets: Callable[..., Path], name: str, value: str
) -> None:
    path = secrets(f"{HEAD}{name} = {value}\n")

    ended = rfq("run")

    expected = next(setting.kind.expected for setting in SETTINGS if setting.name == name)
    assert ended.code == 78
    assert ended.error == (
        f"rfq: [sources.kalshi] {name} in {path} is not {expected}. "
        "Change it, or remove it to have the default.\n"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, value in BAD if name in NUMBERS and value[0] not in '["{t'],
)
def test_a_value_out_of_range_in_the_environment_is_named_with_its_range(
    rfq: Command, key: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", value)

    ended = rfq("run")

    expected = next(setting.kind.expected for setting in SETTINGS if setting.name == name)
    assert ended.code == 78
    assert f"{PREFIX}{name.upper()} in the environment is not {expected}." in ended.err


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_is_no_value(
    rfq: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", "")

    ended = rfq("run")

    assert ended.code == 78
    assert f"{PREFIX}{name.upper()} in the environment is not " in ended.err


def test_the_ends_of_each_range_are_in_it(
    key: Path, config: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}RETENTION_DAYS", "365")
    config(f"{HEAD}overlap_seconds = 0\nhistory_days = 3650\nrejected_share = 1\naccount = 'a b'")

    access = configured_access()

    assert (access.reach.overlap.total_seconds(), access.reach.retention.days) == (0, 365)
    assert (access.reach.history.days, access.rejected_share, access.account) == (3650, 1.0, "a b")


def test_a_build_reads_the_share_and_nothing_but_what_it_needs(
    rfq: Command, config: Callable[[str], Path]
) -> None:
    path = config(f"{HEAD}rejected_share = 7\nretention_days = 0\n")

    ended = rfq("build")

    assert ended.code == 78
    assert f"rejected_share in {path} is not a number from 0 to 1." in ended.err
    config(f"{HEAD}rejected_share = 0.5\nretention_days = 0\n")
    assert configured("rejected_share", "account") == (0.5, None)


# Of [transforms]


@pytest.mark.parametrize("value", ["0", "86401", "-1", "1.5", "true", '"M"', '""', "[300]"])
def test_a_maturity_out_of_range_is_named_with_its_range_and_its_file(
    rfq: Command, config: Callable[[str], Path], value: str
) -> None:
    path = config(f"[transforms]\nmaturity_s = {value}\n")

    for command in (
        ("run",),
        ("run", "--sandbox"),
        ("build",),
        ("backfill", "--since", "2026-11-01"),
    ):
        ended = rfq(*command)

        assert ended.code == 78
        assert ended.error == (
            f"rfq: [transforms] maturity_s in {path} is not a whole number from 1 to 86,400. "
            "Change it, or remove it to have the default.\n"
        )


def test_the_maturity_is_taken_from_the_environment_then_secrets_then_config(
    config: Callable[[str], Path], secrets: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert configured_maturity_s() == 300
    config("[transforms]\nmaturity_s = 86400\n")
    assert configured_maturity_s() == 86_400
    secrets("[transforms]\nmaturity_s = 1\n")
    assert configured_maturity_s() == 1
    monkeypatch.setenv("TRANSFORMS__MATURITY_S", "60")
    assert configured_maturity_s() == 60


def test_a_maturity_out_of_range_in_the_environment_is_named(
    rfq: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFORMS__MATURITY_S", "86401")

    ended = rfq("run", "--sandbox")

    assert ended.code == 78
    assert "TRANSFORMS__MATURITY_S in the environment is not a whole number from 1" in ended.err


def test_a_misspelt_setting_of_transforms_is_told(
    config: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = config("maturity_s = 60\n[transform]\nmaturity_s = 60\n[transforms]\nmaturity = 60\n")
    monkeypatch.setenv("TRANSFORMS__MATURITY", "60")

    assert configured_maturity_s() == 300

    start = "rfq: no setting, so without effect, in"
    assert caplog.messages == [
        f"{start} the environment: TRANSFORMS__MATURITY (did you mean TRANSFORMS__MATURITY_S?)",
        f"{start} {path}: maturity (did you mean maturity_s?), maturity_s (did you mean maturity_s "
        "under [transforms]?), [transform] (did you mean [transforms]?)",
    ]


# What a found file cannot do


@pytest.mark.parametrize("file", ["config", "secrets"])
def test_a_found_file_leads_no_signed_request_away(
    rfq: Command, key: Path, exchange: Any, file: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(file)(f'{HEAD}base_url = "{exchange.base_url}"\n')

    ended = rfq("run", "--allow-unknown-host")

    assert ended.code == 78
    assert ended.error == (
        f"rfq: [sources.kalshi] base_url in {path} leads to 127.0.0.1, which is none of the "
        "exchange's hosts, so nothing was sent. If you mean it, say it with --base-url or "
        "SOURCES__KALSHI__BASE_URL; if not, remove the line.\n"
    )
    assert list(exchange.requests) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8700/trade-api/v2",
        "http://[::1]:8700/trade-api/v2",
        "https://external-api.kalshi.com.example/trade-api/v2",
        "https://external-api.kalshi.com@exchange.example/trade-api/v2",
        "https://exchange.example/external-api.kalshi.com/trade-api/v2",
        "//exchange.example/trade-api/v2",
        "nonsense",
    ],
)
def test_no_spelling_of_another_host_is_taken_from_a_file(
    rfq: Command, key: Path, config: Callable[[str], Path], url: str
) -> None:
    config(f'{HEAD}base_url = "{url}"\n')

    ended = rfq("run")

    assert ended.code == 78
    assert "none of the exchange's hosts" in ended.err


def test_hosts_of_the_exchange_and_what_one_says_oneself_are_taken(
    key: Path, config: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = "https://demo-api.kalshi.co/trade-api/v2"
    config(f'{HEAD}base_url = "{demo}"\n')
    assert configured_access().base_url == demo
    config(f'{HEAD}base_url = "http://127.0.0.1:8700/trade-api/v2"\n')

    assert configured_access("http://127.0.0.1:1").base_url == "http://127.0.0.1:1"
    assert configured_access("").base_url == ""
    monkeypatch.setenv(f"{PREFIX}BASE_URL", "http://127.0.0.1:2")
    assert configured_access().base_url == "http://127.0.0.1:2"


@pytest.mark.parametrize(
    "line",
    [
        'api_key_id = "an id"',
        'private_key_path = "key.pem"',
        'private_key = "-----BEGIN PRIVATE KEY-----"',
        "allow_writing_key = true",
    ],
)
def test_the_file_that_is_handed_on_says_nothing_about_keys(
    rfq: Command, config: Callable[[str], Path], line: str
) -> None:
    path = config(f"{HEAD}{line}\n")

    ended = rfq("run")

    assert ended.code == 78
    assert ended.error == (
        f"rfq: [sources.kalshi] {line.split()[0]} in {path} is not taken from there, because that "
        "file is made to be handed on. Move it to .dlt/secrets.toml (chmod 600), or set it in the "
        "environment.\n"
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_secrets_file_that_others_can_read_is_refused_with_the_remedy(
    rfq: Command, secrets: Callable[..., Path], mode: int
) -> None:
    path = secrets(f'{HEAD}api_key_id = "an id"\n', mode)

    ended = rfq("run")

    assert ended.code == 77
    assert f"Others can read the secrets file {path} (mode {mode:03o})" in ended.err
    assert f"chmod 600 '{path}'" in ended.err
    assert "an id" not in ended.err


# Files that cannot be read


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def make_dangling(path: Path) -> None:
    path.symlink_to("nothing")


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def holding(content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)
        path.chmod(0o600)

    return make


FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "folder": (make_folder, "is not a regular file"),
    "pipe": (make_pipe, "is not a regular file"),
    "dangling link": (make_dangling, "is a link to nothing"),
    "link to itself": (make_loop, "cannot be read (Too many levels of symbolic links)"),
    "broken": (holding(b"[sources.kalshi]\nscope = self\n"), "is not TOML (at line 2, column 9)"),
    "cut off": (holding(b"[sources.kal"), "is not TOML"),
    "twice": (holding(b"[a]\nb = 1\nb = 2\n"), "is not TOML (at line 3, column 6)"),
    "Latin-1": (holding(b"a = '\xe9'"), "is not UTF-8 text"),
    "UTF-16": (holding("a = 1".encode("utf-16")), "is not UTF-8 text"),
    "deep": (holding(b"a = " + b"[" * 100_000), "is not TOML"),
    "large": (holding(b"#" * (LARGEST_FILE_BYTES + 1)), "is larger than 1,048,576 bytes"),
    "a value for [sources]": (holding(b"sources = 1"), "holds a value named sources where"),
    "a list of sections": (holding(b"[[sources.kalshi]]"), "holds a value named kalshi where"),
}


@pytest.mark.parametrize("name", ["config.toml", "secrets.toml"])
@pytest.mark.parametrize(("make", "why"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_settings_file_is_named(
    rfq: Command, here: Path, make: Callable[[Path], None], why: str, name: str
) -> None:
    path = here / ".dlt" / name
    make(path)

    ended = rfq("run")

    assert ended.code == 78
    assert ended.err.startswith(f"rfq: The settings file {path} {why}")
    assert "Mend it or remove it" in ended.err


def test_a_file_in_place_of_the_folder_is_named(rfq: Command, here: Path) -> None:
    (here / ".dlt").rmdir()
    (here / ".dlt").write_text("")

    ended = rfq("build")

    assert ended.code == 78
    assert f"{here}/.dlt/secrets.toml cannot be read (Not a directory)" in ended.err


def test_no_folder_and_a_mark_at_the_beginning_are_no_trouble(
    here: Path, config: Callable[[str], Path]
) -> None:
    config("\ufeff" + HEAD + "rejected_share = 0.5\n")
    assert configured("rejected_share") == (0.5,)
    config("").unlink()
    (here / ".dlt").rmdir()

    assert configured("rejected_share") == (REJECTED_SHARE,)


# Which place decides


def test_the_environment_goes_before_secrets_and_secrets_before_config(
    config: Callable[[str], Path],
    secrets: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("account", "scope", "history_days")
    config(f"{HEAD}account = 'config'\nscope = 'self'\nhistory_days = 1\n")
    secrets(f"{HEAD}account = 'secrets'\nhistory_days = 2\n")
    monkeypatch.setenv(f"{PREFIX}HISTORY_DAYS", "3")

    assert configured(*names) == ("secrets", "self", 3)


def test_a_key_in_the_environment_goes_before_the_path_of_another_in_a_file(
    secrets: Callable[..., Path], desk: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets(f"{HEAD}private_key_path = '/nowhere/key.pem'\n")
    monkeypatch.setenv(f"{PREFIX}API_KEY_ID", f" {desk.api_key_id}\n")
    monkeypatch.setenv(f"{PREFIX}PRIVATE_KEY", desk.private_key_pem + "\n\n")

    assert configured_access().signer.api_key_id == desk.api_key_id


@pytest.mark.parametrize("path", ["~nobody-of-this-name/key.pem", "x" * 5_000])
def test_a_key_file_that_cannot_be_is_a_matter_of_credentials(
    rfq: Command, key: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv(f"{PREFIX}PRIVATE_KEY_PATH", path)

    ended = rfq("run")

    assert ended.code == 77
    assert "cannot be opened" in ended.err


# What has no effect


def test_a_misspelt_name_is_told_with_the_nearest_and_one_line_per_place(
    config: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = config(f"{HEAD}retenton_days = 30\n'\\u001b[2J' = 1\n[source.kalshi]\nscope = 'self'\n")
    monkeypatch.setenv(f"{PREFIX}HISTRY_DAYS", "1")
    monkeypatch.setenv("sources__kalshi__scope", "self")
    monkeypatch.setenv("KALSHI_API_KEY", "another program's")

    configured("scope")

    start = "rfq: no setting, so without effect, in"
    assert caplog.messages == [
        f"{start} the environment: SOURCES__KALSHI__HISTRY_DAYS (did you mean "
        "SOURCES__KALSHI__HISTORY_DAYS?), sources__kalshi__scope (did you mean "
        "SOURCES__KALSHI__SCOPE?)",
        f"{start} {path}: retenton_days (did you mean retention_days?), "
        "\\\\u001b[2J, [source.kalshi] (did you mean [sources.kalshi]?)",
    ]


def test_settings_of_others_are_none_of_our_business(
    config: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    config(
        "[runtime]\nlog_level = 'DEBUG'\n[sources.github]\nbase_url = 'x'\n[load]\nworkers = 1\n"
    )

    configured("scope")

    assert caplog.messages == []


def test_a_thousand_names_are_one_line(
    config: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    config(HEAD + "".join(f"{'x' * 500}{n} = 1\n" for n in range(1_000)))

    configured("scope")

    (line,) = caplog.messages
    assert line.endswith(" and 995 more")
    assert len(line) < 600


# One table


def test_the_readme_and_the_config_file_say_what_the_table_says() -> None:
    shown = {PRODUCTION: "production", None: "none", False: "false"}
    rows = [
        f"| `{setting.name}` | {shown.get(setting.usual, setting.usual)}"
        f" | {setting.kind.expected} | {setting.meaning} |"
        for setting in (*SETTINGS, *build_settings.SETTINGS)
    ]

    readme = (ROOT / "README.md").read_text().split("## Configuration")[1].split("## Tables")[0]
    config = tomllib.loads((ROOT / ".dlt" / "config.toml").read_text())
    readme, about_alerts = readme.split("| `[alerts]` |")

    assert all(f"\n| `{name}` |" in about_alerts for name in alerts.NAMES)
    assert [line for line in readme.splitlines() if re.match(r"\| `\w+` \|", line)] == rows
    assert config == {
        "sources": {
            "kalshi": {
                setting.name: setting.usual
                for setting in SETTINGS
                if setting.usual is not None and not setting.is_private
            }
        },
        "transforms": {setting.name: setting.usual for setting in build_settings.SETTINGS},
    }
    assert config["sources"]["kalshi"]["base_url"] == PRODUCTION
    assert Limits().rejected_share == REJECTED_SHARE


def test_the_example_of_a_secrets_file_holds_settings_alone() -> None:
    example = tomllib.loads((ROOT / ".dlt" / "example.secrets.toml").read_text())

    assert set(example["sources"]["kalshi"]) <= set(NAMES)


def test_help_does_without_dlt() -> None:
    code = (
        "import sys; from pipelines.cli import app; app(['run', '--help'], standalone_mode=False);"
        "print(sorted({'dlt', 'polars', 'duckdb'} & set(sys.modules)))"
    )

    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    assert said.stdout.splitlines()[-1] == "[]"
