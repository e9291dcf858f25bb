"""Sessions of browsers, in memory only: who it is, OCS's password, forms that were sent.

When the server ends they are gone, and a form of then is shown again, never sent by itself.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hostmanager.util.secret import Secret

IDLE_TIMEOUT = 8 * 3600.0
"""Seconds without a request after which a session is over: a shift."""

SESSION_LIFETIME = 24 * 3600.0
"""Seconds after which a session with a password is over, whatever is done."""

MAX_SESSIONS = 1000
"""Sessions that are kept; the one that was idle longest goes, one without a password before others."""

MAX_FORMS = 100
"""Forms of a session whose results are kept."""

CSRF_FIELD = "csrf"
FORM_FIELD = "form_token"

NEVER_SHOWN = frozenset({CSRF_FIELD, FORM_FIELD, "password"})
"""Fields of a form that are not written into a page again."""


@dataclass(slots=True)
class Session:
    """One browser.

    Attributes:
        token: The value of its cookie.
        csrf: What each form of its pages sends along.
        begun: Monotonic time.
        used: Monotonic time of the last request.
        name: Who it is, by its own word; empty: it did not say.
        password: For the managers; empty: none.
    """

    token: Secret
    csrf: Secret
    begun: float
    used: float
    name: str = ""
    password: Secret = field(default=Secret(""))
    _results: OrderedDict[str, str] = field(default_factory=OrderedDict)

    def claim(self, form: Mapping[str, Any]) -> str | None:
        """Take a form that was sent, so that it is carried out once.

        Returns:
            None: it is the first time. Else where the first one led to; empty: it is under way.
        """
        token = str(form.get(FORM_FIELD, ""))
        if token in self._results:
            return self._results[token]
        self._results[token] = ""
        while len(self._results) > MAX_FORMS:
            self._results.popitem(last=False)
        return None

    def finish(self, form: Mapping[str, Any], location: str) -> None:
        """Keep where a form that was claimed led to."""
        self._results[str(form.get(FORM_FIELD, ""))] = location

    def release(self, form: Mapping[str, Any]) -> None:
        """Forget a form that was claimed and changed nothing, so that it may be sent again."""
        self._results.pop(str(form.get(FORM_FIELD, "")), None)


class Sessions:
    """All sessions.

    Args:
        clock: Monotonic time, in seconds.
        on_end: Called with each session that is over, to forget what was kept of it elsewhere.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        on_end: Callable[[Session], None] = lambda session: None,
    ) -> None:
        self._clock = clock
        self._on_end = on_end
        self._sessions: OrderedDict[str, Session] = OrderedDict()  # the longest idle first

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, token: str | None) -> Session | None:
        """The session of a cookie, unless it is over; it counts as used now."""
        self._forget_old()
        session = self._sessions.get(token or "")
        if session is not None:
            session.used = self._clock()
            self._sessions.move_to_end(session.token)
        return session

    def begin(self, name: str = "", password: str = "") -> Session:
        """Begin a session."""
        self._forget_old()
        while len(self._sessions) >= MAX_SESSIONS:
            known = self._sessions.values()
            self.end(next((each for each in known if not each.password), next(iter(known))))
        now = self._clock()
        session = Session(
            Secret(secrets.token_urlsafe(32)),
            Secret(secrets.token_urlsafe(32)),
            now,
            now,
            name,
            Secret(password),
        )
        self._sessions[session.token] = session
        return session

    def renew(self, session: Session, name: str, password: str) -> Session:
        """Give a session a new cookie, a name and a password; its pages and forms stay good."""
        renewed = self.begin(name, password)
        renewed.csrf, renewed._results = session.csrf, session._results
        self.end(session)
        return renewed

    def end(self, session: Session) -> None:
        """End a session; its password is forgotten."""
        self._sessions.pop(session.token, None)
        self._on_end(session)

    def _forget_old(self) -> None:
        now = self._clock()
        over = [
            session
            for session in self._sessions.values()
            if now - session.used > IDLE_TIMEOUT
            or (session.password and now - session.begun > SESSION_LIFETIME)
        ]
        for session in over:
            self.end(session)


def new_form_token() -> str:
    """What makes one form different from all others."""
    return secrets.token_urlsafe(16)
