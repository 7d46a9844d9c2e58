"""A written page as its reader gets it: its figures, charts and text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

# Elements that have no end.
_VOID = {"meta", "br", "link", "img", "input", "hr"}


@dataclass
class ShownChart:
    """A chart of a page: what is said of it, the texts in it, and the rows behind it."""

    name: str
    n_rows: int
    description: str = ""
    texts: list[str] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    has_svg: bool = False


class WrittenPage(HTMLParser):
    """Reads a page: `figures` by metric and start, `charts` by name, `attention`, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.figures: dict[tuple[str, str], tuple[float | None, int, str]] = {}
        self.charts: dict[str, ShownChart] = {}
        self.attention: list[tuple[str, str]] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.tags: set[str] = set()
        self.text: list[str] = []
        self._open: list[str] = []
        self._chart: ShownChart | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        if tag not in _VOID:
            self._open.append(tag)
        if "id" in found:
            self.ids.add(found["id"])
        if "data-metric" in found:
            value = float(found["data-value"]) if found["data-value"] else None
            key = found["data-metric"], found["data-since"]
            self.figures[key] = (value, int(found["data-n"]), found["data-until"])
        if "data-chart" in found:
            self._chart = ShownChart(found["data-chart"], int(found["data-rows"]))
            self.charts[self._chart.name] = self._chart
        if "data-attention" in found:
            self.attention.append((found["data-attention"], ""))
        if tag == "a":
            self.links.append(found["href"])
        if self._chart is not None:
            self._in_chart(tag, found)

    def _in_chart(self, tag: str, found: dict[str, str]) -> None:
        assert self._chart is not None
        if found.get("role") == "img":
            self._chart.description = found["aria-label"]
        self._chart.has_svg |= tag == "svg"
        if tag == "tr" and "tbody" in self._open:
            self._chart.cells.append([])

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass
        if tag == "figure":
            self._chart = None

    def handle_data(self, data: str) -> None:
        if "style" in self._open or not data.strip():
            return
        self.text.append(data)
        if self._chart is not None and "svg" in self._open:
            self._chart.texts.append(data)
        elif self._chart is not None and self._open[-1:] == ["td"]:
            self._chart.cells[-1].append(data)
        if self.attention and self._open[-1:] == ["a"]:
            self.attention[-1] = (self.attention[-1][0], data)
