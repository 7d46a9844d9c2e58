"""What marimo does for a page: its controls, its address, and the look for a newer file.

A cell calls one function of here. The cells of a page run anew when what they read changes: all but
the head with the file, the content with the address as well.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

import marimo as mo

from notebooks.explore import content as pages_content
from notebooks.explore.address import Role, Sort, given_of
from notebooks.explore.opening import Published, Source, Unreadable, opened, version
from notebooks.explore.pages import PAGES
from notebooks.report.window import Unit, Zone, cut

# A newer file shows within a minute.
LOOKED_EVERY_S = 2.0
_DEFAULT = "rfq.duckdb"


class _Server:
    """What `rfq explore` serves: one process has one of it."""

    source: Source | None = None


def serve(source: Source) -> None:
    """Let all pages of this process be of *source*."""
    _Server.source = source


def source() -> Source:
    """What is served or, where a page is opened by itself, what its command line names."""
    if _Server.source is not None:
        return _Server.source
    arguments = mo.cli_args()
    own = arguments.get("with")
    return Source(Path(str(arguments.get("database") or _DEFAULT)), Path(str(own)) if own else None)


def watched(of: Source) -> Callable[[], object]:
    """The state that changes when another file takes the place of the one that is there."""
    get, change = mo.state(version(of))
    if mo.app_meta().mode in ("run", "edit"):
        mo.Thread(target=_look, args=(of, change), daemon=True).start()
    return get


def _look(of: Source, change: Callable[[object], None]) -> None:
    thread, known, never = mo.current_thread(), version(of), Event()
    while not thread.should_exit:
        never.wait(LOOKED_EVERY_S)
        if (found := version(of)) != known:
            known = found
            change(found)


def opening(of: Source, get: Callable[[], object]) -> Published:
    """The file as it is now. A page that is run as a script ends where there is none."""
    get()
    published = opened(of)
    if published.problem and mo.app_meta().mode == "script":
        raise Unreadable(published.problem)
    return published


def head(page: str, address: Any) -> mo.Html:
    """The way to the other pages."""
    is_served = source().served is not None
    return mo.Html(pages_content.head(PAGES[page], _params(address), is_served=is_served))


def content(page: str, published: Published, address: Any) -> mo.Html:
    """What the page says."""
    return mo.Html(pages_content.content(published, PAGES[page], _params(address)))


def _params(address: Any) -> Mapping[str, object]:
    return dict(address.to_dict())


# Controls


def controls(page: str, published: Published) -> Any:
    """The controls, with what the address says at first; a change goes into the address."""
    address = mo.query_params()
    given = given_of(address.to_dict())

    def put(name: str) -> Callable[[Any], None]:
        def changed(value: Any) -> None:
            written = ",".join(value) if isinstance(value, list) else str(value or "").strip()
            if written:
                address.set(name, written)
            elif name in address:
                address.remove(name)

        return changed

    choices = published.choices or {}
    found: dict[str, Any] = {}
    for name in ("since", "until"):
        found[name] = _text(name, given, put(name), "YYYY-MM-DD")
    for name in ("series", "size", "maker"):
        found[name] = _dropdown(name, choices.get(name, []), given, put(name))
    found["market"] = _text("market", given, put("market"), "a ticker")
    found["legs"] = _legs(choices.get("legs", []), given, put("legs"))
    kinds: dict[str, list[str]] = {"role": list(Role), "unit": list(Unit), "zone": list(Zone)}
    if page == "makers":
        kinds["sort"] = list(Sort)
    for name, values in kinds.items():
        found[name] = _dropdown(name, [str(value) for value in values], given, put(name))
    if page == "rfq":
        found["rfq_id"] = _text("rfq_id", given, put("rfq_id"), "an id")
    return mo.ui.dictionary(found)


def _text(name: str, given: Mapping[str, str], put: Callable[[Any], None], like: str) -> Any:
    value = cut(given.get(name, ""))
    return mo.ui.text(value=value, placeholder=like, label=_label(name), on_change=put)


def _dropdown(
    name: str, choices: list[str], given: Mapping[str, str], put: Callable[[Any], None]
) -> Any:
    """What is given is among the choices also where the file does not hold it."""
    values = [*dict.fromkeys([*choices, *([given[name]] if name in given else [])])]
    options = {_choice(value): value for value in values}
    value = _choice(given[name]) if name in given else None
    return mo.ui.dropdown(options, value=value, label=_label(name), on_change=put)


def _choice(value: str) -> str:
    """A value in the space of a dropdown."""
    return cut(value, 29)


def _legs(choices: list[str], given: Mapping[str, str], put: Callable[[Any], None]) -> Any:
    """Numbers with commas between them, as they stand in the address."""
    like = ",".join(choices[:2]) or "1,2"
    return _text("legs", given, put, like)


def _label(name: str) -> str:
    return name.replace("rfq_id", "RFQ id").replace("sort", "sorted by")


def row(shown: Any, published: Published) -> Any:
    """The controls in a row that wraps; none where there is nothing to choose from."""
    if published.connection is None:
        return mo.Html("")
    each = list(shown.elements.values())
    shown = mo.hstack(each, justify="start", align="end", wrap=True, gap=0.8)
    return mo.Html(f'<section class="rfq controls" aria-label="Controls">{shown.text}</section>')
