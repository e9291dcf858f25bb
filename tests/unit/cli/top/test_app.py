"""`hostmanager top`: what is on the screen, and what keys do. Textual's pilot presses them."""

import re
import time
from pathlib import Path

import pytest
from tests.support.waiting import BUSY_MACHINE
from tests.unit.cli.top.site import FakeSource, agent, dead, dying, host, on_screen, usual
from textual import events

from hostmanager.cli import top
from hostmanager.cli.top.app import TopApp
from hostmanager.client.errors import FailureKind, ManagerError
from hostmanager.client.logs.log_reader import LogLine

pytestmark = pytest.mark.slow

NARROW = (80, 24)


class View:
    """The view with a pilot, for ``async with``."""

    def __init__(self, source, size=NARROW):
        self.source = source
        self.app = TopApp(source, title="/etc/ocs/site.yaml")
        self._running = self.app.run_test(size=size)

    async def __aenter__(self):
        self.pilot = await self._running.__aenter__()
        await self.pilot.pause()
        return self

    async def __aexit__(self, *error):
        self.source.blocked.set()
        await self._running.__aexit__(*error)

    async def press(self, *keys):
        await self.pilot.press(*keys)
        await self.pilot.pause()

    @property
    def lines(self):
        return on_screen(self.app)

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def words(self):
        """The same, however it is wrapped."""
        return " ".join(self.text.split())

    async def until(self, text, limit=20.0 * BUSY_MACHINE):
        """Wait until this can be read, wrapped or not: its second line may come a moment later."""
        end = time.monotonic() + limit
        while text not in self.text and text not in self.words:
            assert time.monotonic() < end, f"{text!r} is not on the screen:\n{self.text}"
            await self.pilot.pause(0.05)
        return self.text

    def order(self):
        """Host and agent of each line of the list, from the top."""
        results = []
        for line in self.lines[3:]:
            match = re.match(r"[>!~? ][!~? ](daq\d) +(\S+)", line)
            if match is None:
                break
            results.append((match[1], match[2]))
        return results


async def test_what_is_wrong_is_at_the_top_and_what_is_unknown_before_what_is_fine():
    async with View(FakeSource(usual())) as view:
        assert "3 hosts (1 silent), 5 agents: 1 wrong, 1 unknown, 3 OK" in view.lines[0]
        assert view.order() == [
            *(("daq2", "acu1"), ("daq3", "=="), ("daq3", "far1")),
            *(("daq1", "=="), ("daq1", "fake1"), ("daq1", "fake2")),
            *(("daq2", "=="), ("daq2", "cam1")),
        ]
        assert re.match(r">!daq2 acu1 +restarting>up ", view.lines[3])
        assert "acu1 (daq2): It exited with code 3, 17 failures in a row" in view.text


async def test_nothing_is_shown_by_colour_alone_and_nothing_is_wider_than_the_screen():
    async with View(FakeSource(usual())) as view:
        assert [line[:2] for line in view.lines[3:7]] == [">!", "! ", "? ", "  "]
        assert all(len(line) <= 80 for line in view.lines)
        assert "no answer for 7 s" in view.text


async def test_long_names_and_messages_are_cut_visibly_and_the_message_is_below_in_full():
    long = "It waits for a lock that pid 4711 holds, of a copy that somebody started by hand"
    name = "a-very-long-instance-id-of-an-agent-of-the-cryostat"
    source = FakeSource([host("observatory-host-one", dying(name, message=long))])
    async with View(source) as view:
        line = view.lines[3]
        assert line.count("…") == 3  # host, agent, message
        await view.until(long)


async def test_text_from_agents_controls_no_terminal():
    source = FakeSource([host("daq1", dying("a", message="gone \x1b[2J\x07 [red]x[/red]"))])
    async with View(source) as view:
        assert "gone ␛[2J␇ [red]x[/red]" in view.text


async def test_the_filter_works_as_it_is_typed_and_escape_shows_all_again():
    async with View(FakeSource(usual())) as view:
        await view.press("slash", "d", "a", "q", "1")
        assert view.order() == [("daq1", "=="), ("daq1", "fake1"), ("daq1", "fake2")]
        await view.press("space", "2")
        assert view.order() == [("daq1", "fake2")]
        await view.press("enter")
        await view.press("d")  # is a key again, not a letter
        assert "Stop fake2 (daq1)?" in view.text
        await view.press("n", "escape")
        assert len(view.order()) == 8
        await view.press("slash", "x", "x")
        assert "Nothing matches; Esc shows all." in view.text
        await view.press("enter", "u", "enter", "h", "A")  # nothing is selected
        assert view.source.changes == []


async def test_orders_and_only_what_is_wrong():
    async with View(FakeSource(usual())) as view:
        await view.press("s")
        assert "as in the site config" in view.lines[1]
        assert [name for _, name in view.order()][:3] == ["==", "fake1", "fake2"]
        await view.press("s")
        assert [name for _, name in view.order()][:4] == ["acu1", "cam1", "fake1", "fake2"]
        await view.press("s")
        assert view.order()[0] == ("daq1", "fake2")
        await view.press("s")
        assert view.order()[0] == ("daq2", "acu1")
        await view.press("s", "w")
        assert "only what is wrong" in view.lines[1]
        assert view.order() == [("daq2", "acu1"), ("daq3", "=="), ("daq3", "far1")]


async def test_the_selection_stays_with_its_agent_when_the_order_changes():
    async with View(FakeSource(usual())) as view:
        await view.press("down", "down")
        (selected,) = (line[2:20] for line in view.lines if line.startswith(">"))
        for _ in range(5):
            await view.press("s")
            assert [line[2:20] for line in view.lines if line.startswith(">")] == [selected]


async def test_the_selection_stays_with_its_agent_wherever_that_moves_to():
    source = FakeSource([host("daq1", agent("a"), agent("b"), agent("c"))])
    async with View(source) as view:
        await view.press("down", "down")
        assert view.app.agent_list.selected.key == ("daq1", "b")
        source.hosts = [host("daq1", agent("a"), agent("b"), dying("c"))]
        view.app.refresh_data()
        assert view.app.agent_list.selected.key == ("daq1", "b")
        assert view.order()[0] == ("daq1", "c")


async def test_one_that_somebody_acted_on_stays_selected_although_nobody_moved_to_it():
    source = FakeSource([host("daq1", dying("b"), agent("a"))])
    async with View(source) as view:
        assert view.app.agent_list.selected.key == ("daq1", "b")
        await view.press("u")
        source.hosts = [host("daq1", agent("b"), dying("a"))]
        view.app.refresh_data()
        assert view.order()[0] == ("daq1", "a")
        assert view.app.agent_list.selected.key == ("daq1", "b")


async def test_the_question_before_a_restart_of_a_host_leaves_out_what_is_wanted_down():
    spare = agent("spare", target_state="down", next_action="down")
    async with View(FakeSource([host("daq1", agent("a"), spare, agent("b"))])) as view:
        await view.press("A", "r")
        assert "Restart all agents whose target is up of host daq1 (2)?" in view.text
        assert "a, b" in view.text
        await view.press("n", "A", "d")
        assert "Stop all agents of host daq1 (3)?" in view.text


async def test_up_is_requested_at_once_and_down_and_restart_only_after_a_yes():
    async with View(FakeSource(usual())) as view:
        await view.press("u")
        assert view.source.changes == [("up", "acu1 (daq2)", ["acu1"])]
        for key, no in (("d", "n"), ("r", "escape"), ("d", "enter"), ("r", "q")):
            await view.press(key)
            assert "acu1 (daq2)? It is restarting." in view.text
            await view.press(no)
        assert len(view.source.changes) == 1
        await view.press("d", "y", "r", "y")
        assert [message[0] for message in view.source.changes] == ["up", "down", "restart"]


async def test_a_whole_host_is_changed_after_a_choice_and_a_yes_that_names_the_agents():
    async with View(FakeSource(usual())) as view:
        await view.press("A")
        assert "All agents of host daq2 (2):" in view.text
        await view.press("d")
        assert "Stop all agents of host daq2 (2)?" in view.text
        assert "cam1, acu1" in view.text
        await view.press("n", "A", "escape", "A", "r", "y")
        assert view.source.changes == [("restart", "host daq2", ["cam1", "acu1"])]


async def test_with_a_host_selected_the_keys_are_about_all_of_its_agents():
    async with View(FakeSource([host("daq1", agent("a"), agent("b"))])) as view:
        await view.press("u")
        assert "Start all agents of host daq1 (2)?" in view.text
        await view.press("y")
        assert view.source.changes == [("up", "host daq1", ["a", "b"])]


async def test_what_became_of_a_request_is_shown_also_a_refusal_in_the_managers_words():
    async with View(FakeSource(usual())) as view:
        await view.press("u")
        (step,) = view.source.requests[0].plan.steps
        await view.until("up acu1 (daq2): sending the request")
        step.outcome, step.state = "told", "wait_start"
        await view.until("requested; now starting")
        step.outcome, step.reason = "failed", "Level 2 is needed for that; --privs 2 gives it."
        await view.until("NOT done")
        await view.until("Level 2 is needed for that; --privs 2 gives it")
        view.source.requests[0].done = True
        await view.press("m")
        assert "requests, the newest first" in view.lines[0]
        assert "Level 2 is needed" in view.text


async def test_details_tell_what_is_known_and_what_it_prints_as_it_prints_it():
    source = FakeSource(usual())
    source.lines = [
        [LogLine(1e9, "daq2", "acu1", "first \x1b[2J")],
        [LogLine(None, "d", "a", "second")],
    ]
    async with View(source) as view:
        await view.press("enter")
        assert "acu1 (daq2)" in view.lines[0]
        assert "state      restarting, target up (wrong)" in view.text
        assert "reason     It exited with code 3, 17 failures in a row." in view.text
        assert "last exit  code 3" in view.text
        text = await view.until("second")
        assert "first ␛[2J" in text
        await view.press("d", "y")
        assert source.changes == [("down", "acu1 (daq2)", ["acu1"])]
        await view.press("q")
        assert "wrong first" in view.text


async def test_details_follow_changes_and_say_so_when_it_is_gone():
    source = FakeSource([host("daq1", agent("a"))])
    async with View(source) as view:
        await view.press("down", "enter")
        source.hosts = [host("daq1", dying("a"))]
        await view.until("restarting, target up")
        source.hosts = [host("daq1", agent("b"))]
        await view.until("IS GONE")


async def test_details_of_a_host_show_what_its_manager_cannot_read():
    status = {"[SCF]": [False, 1e9, "site.yaml:14:7: a list stands where a text is needed"]}
    tags = {"web": "web:2"}
    source = FakeSource([host("daq1", agent("a"), config_parse_status=status, new_tags=tags)])
    async with View(source) as view:
        await view.press("enter")
        assert "CANNOT BE USED" in view.text
        await view.until("site.yaml:14:7: a list stands where a text is needed")
        assert "web web:2" in view.text


async def test_output_that_nobody_gives_leaves_a_sentence_and_the_rest_goes_on():
    source = FakeSource(usual())
    source.lines = [ManagerError(FailureKind.REFUSED, "It has never printed anything.")]
    async with View(source) as view:
        await view.press("enter")
        await view.until("output: It has never printed anything.")


async def test_a_host_that_never_answers_blocks_neither_output_nor_keys():
    source = FakeSource(usual())
    source.blocked.clear()
    async with View(source) as view:
        await view.press("enter")
        await view.until("output: no answer for")
        await view.press("escape", "question_mark")
        assert "keys and marks" in view.lines[0]


async def test_history_of_an_agent_and_the_reason_if_there_is_none():
    source = FakeSource(usual())
    source.entries = [
        {"time": 1e9, "kind": "exit", "instance_id": "acu1", "text": "exited \x1b[2J", "data": {}}
    ]
    async with View(source) as view:
        await view.press("h")
        text = await view.until("exit exited ␛[2J")
        assert "history of acu1 (daq2), the newest last" in text
        await view.press("escape")
        source.entries = ManagerError(FailureKind.NOT_REGISTERED, "hm-daq2 is not at the router")
        await view.press("h")
        await view.until("! hm-daq2 is not at the router")


async def test_stale_answers_are_reported_with_their_age():
    source = FakeSource([host("daq1", agent("a"), age=4.2)])
    async with View(source) as view:
        assert "STALE: 1 host slow to answer" in view.lines[1]
        assert "4.2 s old" in view.lines[3]


async def test_a_router_that_is_away_is_reported_once_at_the_top():
    away = dead("daq1", "a")
    away.host.error.kind = FailureKind.ROUTER
    away.host.error.args = ("no router answers at http://127.0.0.1:1/call",)
    async with View(FakeSource([away])) as view:
        assert view.lines[1].startswith("! no router answers at http://127.0.0.1:1/call")


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (20, 6), (200, 60)])
async def test_it_fits_terminals_of_any_size(size):
    async with View(FakeSource(usual()), size) as view:
        assert "acu1" in view.text or size == (20, 6)
        await view.press("enter", "question_mark", "escape", "escape", "A", "escape", "slash")


async def test_it_follows_the_size_of_the_terminal():
    async with View(FakeSource(usual())) as view:
        assert "class" not in view.lines[2]
        await view.pilot.resize_terminal(140, 40)
        await view.until("class            state>target")
        await view.pilot.resize_terminal(60, 12)
        await view.until("restarting>up  It exited with code 3")


async def test_a_big_site_scrolls_and_the_selected_line_stays_on_the_screen():
    agents = [agent(f"agent{number:03}") for number in range(150)]
    async with View(FakeSource([host("daq1", *agents)])) as view:
        await view.press("end")
        assert "agent149 " in view.text
        await view.press("pageup", "home")
        assert "== hm-daq1" in view.lines[3]
        await view.press(*["j"] * 30)
        assert "agent029 (daq1): OK" in view.text
        assert re.search(r"> +daq1 agent029", view.text)


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("ctrl+q", 0), ("ctrl+c", 130)])
async def test_how_it_is_left(key, code):
    async with View(FakeSource(usual())) as view:
        await view.press(key)
        assert view.app.return_value == code


@pytest.mark.parametrize("before", ["slash", "d", "A", "enter", "h"])
async def test_ctrl_c_ends_it_from_anywhere(before):
    async with View(FakeSource(usual())) as view:
        await view.press(before, "ctrl+c")
        assert view.app.return_value == 130


async def test_all_keys_that_help_names_fit_the_screen():
    async with View(FakeSource(usual())) as view:
        assert "…" not in view.lines[-1]
        await view.press("question_mark")
        assert "keys and marks" in view.lines[0]
        text = Path(top.__file__).with_name("help.txt").read_text()
        assert max(map(len, text.splitlines())) <= 78


async def test_keys_typed_faster_than_the_screen_follows_keep_their_order():
    agents = [agent(name) for name in "abcd"]
    async with View(FakeSource([host("daq1", *agents)])) as view:
        for key in ("down", "down", "u", "down", "d", "y", "slash", "d", "q"):
            view.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await view.until("filter: dq")
        assert [message[0::2] for message in view.source.changes] == [
            ("up", ["b"]),
            ("down", ["c"]),
        ]
