"""Secrets in the text of a site config: none is shown, wherever it stands, and no line moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostmanager.siteconfig.masked_text import mask_secrets

SECRETS = """\
hub:
  wamp_server: ws://me:pw1@router:8001/ws
  password: &anchor "pw2"   # token: pw3
hosts:
  daq1:
    agent-instances:
      - instance-id: a   # --password pw4
        arguments: [--host, x, --password, pw5, --token=pw6, [--api-key], pw7, --auth, --foo, bar]
        host-manager:
          environment:
            A: pw8
            B: |
              pw9
              pw10
          nice: 3
      - {instance-id: b, arguments: [--password, *anchor], credentials: {a: pw11}, manage: down}
      - instance-id: c
        arguments:
          - --password
          - pw12
          - --pass
shared: &shared pw13
secrets: [*shared]
quoted: [--user, 'joe --passwd pw14']
"""


def without_options(lines):
    return "\n".join(lines).replace("passw", "").replace("--pass", "")


def test_what_is_no_secret_stays():
    lines = mask_secrets(SECRETS).lines

    assert lines[2] == "  password: ***   # token: ***"
    assert lines[7].endswith(
        "[--host, x, --password, ***, --token=***, [--api-key], ***, --auth, --foo, bar]"
    )
    assert lines[10:15] == ["            A: ***", "            B: ***", "", "", "          nice: 3"]
    assert lines[15].endswith("credentials: {a: ***}, manage: down}")


@pytest.mark.parametrize("breakage", ["", "\t", "}: ", "a: 'b\n", "? [\n"])
@pytest.mark.parametrize("line", [0, 3, 8, 15, 20])
def test_no_secret_is_shown_even_if_the_file_is_broken(breakage, line):
    lines = SECRETS.split("\n")
    text = "\n".join([*lines[:line], breakage + lines[line], *lines[line + 1 :]])

    shown = mask_secrets(text).lines

    assert "pw" not in without_options(shown)
    assert len(shown) == len(text.split("\n"))


@given(st.text(alphabet=st.sampled_from("ab:- \n\t'\"#&*[]{}|>,\r%!?=é"), max_size=60))
def test_any_text_keeps_its_lines(text):
    assert len(mask_secrets(text).lines) == len(text.split("\n"))


def test_windows_lines_and_characters_beyond_ascii_are_masked_at_the_right_place():
    assert mask_secrets("é: ü\r\npassword: gehéim\r\nb: 😀\r\ntoken: x y\r\n").lines == [
        "é: ü",
        "password: ***",
        "b: 😀",
        "token: ***",
        "",
    ]


def test_a_message_that_quotes_the_text_shows_no_secret():
    masked = mask_secrets(SECRETS)

    assert masked.mask("the argument 'pw5' was read as a number") == (
        "the argument '***' was read as a number"
    )
    assert masked.mask("Write two: '--password', 'pw99'.") == "Write two: '--password', '***'."


def test_where_secrets_begin_is_known_for_messages_about_them():
    assert mask_secrets("a: 1\nx: {token:  0123}\n").locations == {(2, 13)}
