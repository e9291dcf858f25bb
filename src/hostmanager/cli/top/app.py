"""The view itself: the list, what is under it, and what the keys do."""

import asyncio
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from traceback import format_exc
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from hostmanager.cli.exit_codes import INTERRUPTED, OK
from hostmanager.cli.status.overview import headline
from hostmanager.cli.top.data_source import DataSource
from hostmanager.cli.top.details import Details
from hostmanager.cli.top.model import HostSnapshot, ItemKey, ListItem, SortOrder, list_items
from hostmanager.cli.top.screens import ConfirmDialog, History, HostActionDialog, TextPane
from hostmanager.cli.top.widgets import AgentList, Bar, RequestBar, priority_binding
from hostmanager.client.change.plan import is_satisfied
from hostmanager.client.change.plan_text import VERBS
from hostmanager.client.status.model import AgentStatus, no_router
from hostmanager.client.text import format_time, sanitize
from hostmanager.util.text import join_names, pluralize

REDRAW_INTERVAL = 1.0
"""Seconds between two updates."""

FAST_REDRAW_INTERVAL = 0.25
"""The same while a request is pending."""

HISTORY_LENGTH = 200
KEYS = "u up  d down  r restart  A host  Enter details  h history  / filter  ? help  q"


ABOUT_AN_ITEM = {"change", "change_host", "history", "requests", "help"}
"""What keys do in the details as well."""


class TopApp(App[int]):
    """Hosts and agents of a site on one screen."""

    CSS_PATH = "top.tcss"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = "#list"
    BINDINGS: ClassVar[list[BindingType]] = [
        priority_binding("ctrl+c", "interrupt"),
        priority_binding("ctrl+q", "quit"),
        priority_binding("q", "quit_list"),
        priority_binding("u", "change('up')"),
        priority_binding("d", "change('down')"),
        priority_binding("r", "change('restart')"),
        priority_binding("A", "change_host"),
        priority_binding("enter,right", "details"),
        priority_binding("h", "history"),
        priority_binding("m", "requests"),
        priority_binding("s", "order"),
        priority_binding("w", "only_wrong"),
        priority_binding("slash", "filter"),
        priority_binding("escape", "clear_filter"),
        priority_binding("question_mark,f1", "help"),
    ]

    def __init__(self, source: DataSource, title: str = "") -> None:
        super().__init__()
        self.theme = "ansi-dark"  # the sixteen colours of the terminal, whatever they look like
        self._source = source
        self._path = title
        self._hosts: list[HostSnapshot] = []
        self._notice = ""
        self._order = SortOrder.WORST
        self._only_wrong = False

    def compose(self) -> ComposeResult:
        """Make its widgets."""
        yield Bar(id="head", classes="bar")
        yield Bar(id="summary", classes="bar")
        yield Bar(id="columns", classes="bar")
        yield AgentList("list")
        yield Bar(id="reason")
        yield RequestBar(id="request")
        yield Input(id="filter", compact=True, placeholder="parts of names, host, class, state")
        yield Bar(id="keys")

    def on_mount(self) -> None:
        """Start the updates."""
        loop = asyncio.get_running_loop()
        for number, code in ((signal.SIGINT, INTERRUPTED), (signal.SIGTERM, OK)):
            loop.add_signal_handler(number, self.exit, code)
        loop.add_signal_handler(signal.SIGHUP, self.exit, OK)
        self.refresh_data()
        self.set_interval(REDRAW_INTERVAL, self.refresh_data)
        self.set_interval(FAST_REDRAW_INTERVAL, self._refresh_if_pending)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are keys only in the list: not in the filter, and not below something else."""
        if action in ("interrupt", "quit"):
            return True
        if isinstance(self.screen, Details):
            return action in ABOUT_AN_ITEM
        if len(self.screen_stack) != 1:
            return False
        return action == "clear_filter" or not isinstance(self.focused, Input)

    # --- what is shown ------------------------------------------------------------------------

    @property
    def agent_list(self) -> AgentList:
        """The list."""
        return self.screen_stack[0].query_one("#list", AgentList)

    def refresh_data(self) -> None:
        """Show the present status; nothing in here blocks."""
        if not self.is_running:
            return  # it is being closed, one widget after the other
        self._hosts, self._notice = self._source.fetch()
        self._show()

    def _refresh_if_pending(self) -> None:
        if any(not request.done for request in self._source.requests):
            self.refresh_data()

    def _show(self, *, from_top: bool = False) -> None:
        shown = list_items(self._hosts, self._order, self._words, only_wrong=self._only_wrong)
        self.agent_list.show(shown, self._order, from_top=from_top)
        self._bar("#head").show(self._head_text())
        self._bar("#summary").show(self._summary_text(len(shown)))
        self._bar("#columns").show(Text.assemble((self.agent_list.heading.plain, "underline")))
        self._bar("#keys").show(Text(KEYS, "reverse"))
        self._show_reason()
        requests = self.screen_stack[0].query_one("#request", RequestBar)
        requests.show_latest(self._source.requests)

    @property
    def _words(self) -> str:
        return self.screen_stack[0].query_one("#filter", Input).value

    def _bar(self, name: str) -> Bar:
        return self.screen_stack[0].query_one(name, Bar)

    def _head_text(self) -> Text:
        now = time.time()
        return Text(f"{format_time(now, now)} ").append_text(
            headline([snapshot.host for snapshot in self._hosts])
        )

    def _summary_text(self, shown: int) -> Text:
        router_error = no_router([snapshot.host for snapshot in self._hosts])
        if self._notice or router_error is not None:
            return Text(sanitize(f"! {self._notice or router_error}"), "bold red")
        stale = [s for s in self._hosts if s.is_stale and s.host.error is None]
        text = Text()
        if stale:
            text.append(f"STALE: {pluralize(len(stale), 'host')} slow to answer  ", "bold yellow")
        if self._words:
            text.append(f"filter: {self._words}  ", "bold")
        if self._only_wrong:
            text.append("only what is wrong  ", "bold")
        text.append(f"{pluralize(shown, 'line')}, {self._order}")
        return text.append(f"  {self._path}", "dim")

    def _show_reason(self) -> None:
        """Show in full what the line of the selected item has no room for."""
        item = self.agent_list.selected
        text = Text("Nothing to show." if not self._words else "Nothing matches; Esc shows all.")
        if item is not None:
            note = item.note(time.time()) or "OK"
            text = Text(item.name, "bold").append(f": {sanitize(note)}", "not bold")
        self._bar("#reason").show(text, 2)

    def find(self, key: ItemKey) -> ListItem | None:
        """The item of this key with its present status; None if it is gone."""
        return next(
            (item for item in list_items(self._hosts, SortOrder.SITE) if item.key == key), None
        )

    def on_agent_list_selected(self) -> None:
        """Another item is selected."""
        self._show_reason()

    def on_resize(self) -> None:
        """Everything is fitted to the new width once the list has it."""
        self.call_after_refresh(self._show)

    # --- finding ------------------------------------------------------------------------------

    def action_order(self) -> None:
        """Sort by the next order."""
        self._order = self._order.next
        self.agent_list.pin_selection()
        self._show()

    def action_only_wrong(self) -> None:
        """Show only what is wrong, or everything again."""
        self._only_wrong = not self._only_wrong
        self.agent_list.pin_selection()
        self._show()

    def action_filter(self) -> None:
        """Open the filter."""
        field = self.query_one("#filter", Input)
        field.display = True
        self.screen.set_focus(field)

    def action_clear_filter(self) -> None:
        """Show everything again."""
        field = self.query_one("#filter", Input)
        field.value = ""
        self._only_wrong = False
        self._close_filter()
        self._show()

    def on_input_changed(self) -> None:
        """Filter as it is typed."""
        self._show(from_top=True)

    def on_input_submitted(self) -> None:
        """Keep the filter."""
        self._close_filter()

    def _close_filter(self) -> None:
        self.screen.set_focus(self.agent_list)
        self.query_one("#filter", Input).display = False

    # --- panes --------------------------------------------------------------------------------

    def _pinned_item(self) -> ListItem | None:
        """What a key is about: what the details show, else what is selected, which stays so."""
        if isinstance(self.screen, Details):
            return self.screen.item
        return self.agent_list.pin_selection()

    def action_details(self) -> None:
        """Show the details of the selected item."""
        item = self._pinned_item()
        if item is not None:
            read = self._source.reader(item.agent) if item.agent is not None else None
            self.push_screen(Details(item, read, self.find, self._source.requests))

    def action_history(self) -> None:
        """Show what happened to an agent, or on a host."""
        item = self._pinned_item()
        if item is not None:
            fetch = partial(self._source.history, item, HISTORY_LENGTH)
            self.push_screen(History(f"history of {item.name}", fetch, names=item.agent is None))

    def action_requests(self) -> None:
        """Show all requests."""
        requests = self._source.requests
        lines = [Text(sanitize(request.text())) for request in reversed(requests)]
        self.push_screen(TextPane("requests, the newest first", lines or ["nothing yet"]))

    def action_help(self) -> None:
        """Show the keys."""
        lines = Path(__file__).with_name("help.txt").read_text().splitlines()
        self.push_screen(TextPane("hostmanager top: keys and marks", lines))

    # --- requests -----------------------------------------------------------------------------

    def action_change(self, command: str) -> None:
        """Request a change of an agent; ask first, unless it is only started."""
        item = self._pinned_item()
        if item is None:
            return
        agent = item.agent
        if agent is None:
            self._confirm_host_change(command, item.snapshot)
            return
        change = partial(self._change, command, item.name, [agent])
        if command == "up":
            change(True)
        else:
            question = f"{VERBS[command].capitalize()} {item.name}? It is {agent.state_text}."
            self.push_screen(ConfirmDialog(question), change)

    def _change(
        self, command: str, what: str, agents: Sequence[AgentStatus], agreed: bool | None
    ) -> None:
        if agreed:
            self._source.change(command, what, agents)
            self.refresh_data()

    def action_change_host(self) -> None:
        """Ask what to do with all agents of the host of an item."""
        item = self._pinned_item()
        if item is None:
            return
        snapshot = next((s for s in self._hosts if s.host.host.name == item.host), item.snapshot)

        def go(command: str | None) -> None:
            if command:
                self._confirm_host_change(command, snapshot)

        self.push_screen(HostActionDialog(item.host, len(_managed(snapshot))), go)

    def _confirm_host_change(self, command: str, snapshot: HostSnapshot) -> None:
        agents, host = _managed(snapshot), snapshot.host.host.name
        which = "all agents" if command != "restart" else "all agents whose target is up"
        concerned = [
            agent for agent in agents if command != "restart" or not is_satisfied(command, agent)
        ]
        names = join_names([agent.instance_id for agent in concerned], 10)
        question = (
            f"{VERBS[command].capitalize()} {which} of host {host} ({len(concerned)})?\n{names}"
        )
        self.push_screen(
            ConfirmDialog(question), partial(self._change, command, f"host {host}", agents)
        )

    def _fatal_error(self) -> None:
        """Print the traceback only. Textual's own way shows all variables, passwords too."""
        self.bell()
        self.panic(Text(f"hostmanager top has failed; please report this:\n{format_exc()}"))

    # --- the end ------------------------------------------------------------------------------

    async def action_quit(self) -> None:
        """Quit, from anywhere."""
        self.exit(OK)

    def action_quit_list(self) -> None:
        """Quit, from the list."""
        self.exit(OK)

    def action_interrupt(self) -> None:
        """Ctrl-C."""
        self.exit(INTERRUPTED)


def _managed(snapshot: HostSnapshot) -> list[AgentStatus]:
    return [agent for agent in snapshot.host.agents if agent.is_managed]
