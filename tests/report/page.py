"""A small reader of the HTML that the reports write."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

_VOID = {"meta", "link", "br", "img", "hr", "input", "path", "use", "image"}


class Page(HTMLParser):
    """Ids, sections, figures, table headers and everything that could load something."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.sections: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.tags: dict[str, int] = {}
        self.drawings: list[str] = []
        self.header_scopes: list[str | None] = []
        self.text = ""
        self._stack: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)
        self.close()
        self.unbalanced += self._stack

    @classmethod
    def read(cls, path: Path) -> Page:
        return cls(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag not in _VOID:
            self._stack.append(tag)
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "section":
            self.sections.append(values["id"])
        if tag == "th":
            self.header_scopes.append(values.get("scope"))
        if tag == "svg":
            self.drawings.append(values.get("aria-label", ""))
        if tag == "a":
            self.links.append(values["href"])
        else:
            self.loads += [
                values[name]
                for name in ("src", "href", "xlink:href", "data", "poster", "srcset")
                if values.get(name)
            ]
        self.loads += re.findall(r"url\(([^)]*)\)", values.get("style") or "")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._stack.pop()

    def handle_endtag(self, tag):
        if tag in _VOID:
            return
        if self._stack and self._stack[-1] == tag:
            self._stack.pop()
        else:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if self._stack and self._stack[-1] == "style":
            self.loads += re.findall(r"url\(([^)]*)\)|@import\s+(\S+)", data)
        elif not (self._stack and self._stack[-1] == "script"):
            self.text += data
