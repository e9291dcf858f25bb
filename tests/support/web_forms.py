"""Somebody at a page without scripts: looks, fills forms in, sends them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests


@dataclass
class Form:
    """One form of a page: where it goes, and what it sends unless it is filled in."""

    method: str
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)

    def filled(self, **values: str) -> list[tuple[str, str]]:
        """What it sends when these fields are filled in."""
        kept = [(name, value) for name, value in self.fields if name not in values]
        return kept + list(values.items())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.texts: list[str] = []
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form":
            self._open = Form(given.get("method", "get"), given.get("action", ""))
            self.forms.append(self._open)
        elif self._open is not None and given.get("name"):
            if tag == "button":
                self._open.buttons.append((given["name"], given.get("value", "")))
            elif tag == "input" and given.get("type") != "checkbox":
                self._open.fields.append((given["name"], given.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


class Visitor:
    """One browser without scripts, with its own session.

    Attributes:
        session: Its cookies.
        answer: The page that it looks at.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.answer = requests.Response()

    def look(self, path: str, **query: str | list[str]) -> str:
        """Open a page; returns its text."""
        self.answer = self.session.get(self.url + path, params=query, timeout=60)
        return self.text

    @property
    def text(self) -> str:
        """What there is to read on the page, blanks between words as one."""
        return " ".join(" ".join(self._read().texts).split())

    def form(self, action: str = "/change", method: str = "post") -> Form:
        """The form of the page that goes there."""
        forms = self._read().forms
        found = [f for f in forms if f.method == method and f.action.endswith(action)]
        assert found, f"no form for {action} here: {self.text}"
        return found[0]

    def has_form(self, action: str) -> bool:
        """Whether the page has a form that is sent there by POST."""
        return any(f.method == "post" and f.action.endswith(action) for f in self._read().forms)

    def send(self, form: Form, /, **values: str) -> str:
        """Fill a form in and send it; returns the text of the page that it leads to."""
        self.answer = self.post(form, **values)
        return self.text

    def post(
        self, form: Form, /, headers: Mapping[str, str] | None = None, **values: str
    ) -> requests.Response:
        """Send a form; by default from a page of the server."""
        return self.session.post(
            urljoin(self.url, form.action),
            data=form.filled(**values),
            headers={"Origin": self.url, **(headers or {})},
            timeout=60,
        )

    def _read(self) -> _Reader:
        reader = _Reader()
        reader.feed(self.answer.text)
        return reader
