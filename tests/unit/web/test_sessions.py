"""Sessions of browsers: they end, and a form is carried out once."""

import pytest

from hostmanager.web import sessions
from hostmanager.web.sessions import FORM_FIELD, Sessions, new_form_token


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_session_is_found_by_its_cookie_until_nobody_uses_it_for_a_shift(clock):
    known = Sessions(clock)
    session = known.begin()
    for _ in range(3):
        clock.now += sessions.IDLE_TIMEOUT - 1
        assert known.find(session.token) is session
    clock.now += sessions.IDLE_TIMEOUT + 1
    assert known.find(session.token) is None
    assert known.find(None) is None
    assert len(known) == 0


def test_a_password_is_kept_for_a_day_at_most(clock):
    known = Sessions(clock)
    session = known.begin("ann", "secret")
    while clock.now < 1000.0 + sessions.SESSION_LIFETIME:
        assert known.find(session.token) is session
        clock.now += sessions.IDLE_TIMEOUT / 2
    clock.now += 1
    assert known.find(session.token) is None


def test_no_password_and_no_cookie_is_written_into_a_log(clock):
    session = Sessions(clock).begin("ann", "swordfish")
    assert "swordfish" not in repr(session)
    assert str(session.token) not in repr(session)


def test_a_login_changes_the_cookie_and_forms_of_before_stay_good(clock):
    known = Sessions(clock)
    before = known.begin()
    form = {FORM_FIELD: new_form_token()}
    before.claim(form)
    before.finish(form, "/change/1")
    after = known.renew(before, "ann", "secret")
    assert after.token != before.token
    assert (after.name, after.password, after.csrf) == ("ann", "secret", before.csrf)
    assert after.claim(form) == "/change/1"
    assert known.find(before.token) is None


def test_a_form_is_carried_out_once(clock):
    session = Sessions(clock).begin()
    form, other = {FORM_FIELD: new_form_token()}, {FORM_FIELD: new_form_token()}
    assert session.claim(form) is None
    assert session.claim(form) == ""
    session.finish(form, "/change/1")
    assert session.claim(form) == "/change/1"
    assert session.claim(other) is None
    session.release(other)
    assert session.claim(other) is None


def test_there_are_never_more_sessions_and_forms_than_have_a_place(clock, monkeypatch):
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 3)
    monkeypatch.setattr(sessions, "MAX_FORMS", 2)
    known = Sessions(clock)
    logged_in, first, second = known.begin("ann", "secret"), known.begin(), known.begin()
    known.find(first.token)
    known.begin()
    assert len(known) == 3
    assert known.find(first.token) is first
    assert known.find(second.token) is None
    assert known.find(logged_in.token) is logged_in
    forms = [{FORM_FIELD: name} for name in "abc"]
    assert [first.claim(form) for form in forms] == [None, None, None]
    assert first.claim(forms[2]) == ""
    assert first.claim(forms[0]) is None


def test_whoever_kept_something_of_a_session_hears_of_its_end_however_it_ends(clock):
    ended = []
    known = Sessions(clock, ended.append)
    first, second = known.begin("ann", "one"), known.begin("bob", "two")
    known.end(first)
    assert ended == [first]
    clock.now += sessions.IDLE_TIMEOUT + 1
    assert known.find(second.token) is None
    assert ended == [first, second]
