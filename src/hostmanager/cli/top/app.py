"""The view itself: the list, what is under it, and what the keys do."""

import asyncio
import signal
import time
from traceback import format_exc
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from hostmanager.cli.exit_codes import INTERRUPTED, OK
from hostmanager.cli.status.table import headline
from hostmanager.cli.text import format_time, sanitize
from hostmanager.cli.top.bar import Bar
from hostmanager.cli.top.data_source import DataSource
from hostmanager.cli.top.details import Details
from hostmanager.cli.top.dialogs import ConfirmDialog, HostActionDialog
from hostmanager.cli.top.help import HELP, KEYS
from hostmanager.cli.top.keys import priority_binding
from hostmanager.cli.top.model import HostSnapshot, ItemKey, ListItem, SortOrder, list_items
from hostmanager.cli.top.screens import History, TextPane
from hostmanager.cli.top.sheet import CSS
from hostmanager.cli.top.widgets import AgentList
from hostmanager.client.change.plan import is_satisfied
from hostmanager.client.status.model import AgentStatus, no_router
from hostmanager.util.text import join_names, pluralize

LOOK = 1.0
"""Seconds between two pictures."""

SOON = 0.25
"""The same while something is under way that was asked for here."""

VERBS = {"up": "Start", "down": "Stop", "restart": "Restart"}
HISTORY = 200


class TopApp(App[int]):
    """Hosts and agents of a site on one screen."""

    CSS = CSS
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = "#list"
    BINDINGS: ClassVar[list[BindingType]] = [
        priority_binding("ctrl+c", "interrupt"),
        priority_binding("ctrl+q", "leave"),
        priority_binding("q", "done"),
        priority_binding("u", "change('up')"),
        priority_binding("d", "change('down')"),
        priority_binding("r", "change('restart')"),
        priority_binding("A", "whole_host"),
        priority_binding("enter,right", "details"),
        priority_binding("h", "history"),
        priority_binding("m", "requests"),
        priority_binding("s", "order"),
        priority_binding("w", "only_wrong"),
        priority_binding("slash", "filter"),
        priority_binding("escape", "no_filter"),
        priority_binding("question_mark,f1", "help"),
    ]

    def __init__(self, asker: DataSource, title: str = "") -> None:
        super().__init__()
        self.theme = "ansi-dark"  # the sixteen colours of the terminal, whatever they look like
        self._asker = asker
        self._path = title
        self._found: list[HostSnapshot] = []
        self._trouble = ""
        self._order = SortOrder.WORST
        self._only_wrong = False

    def compose(self) -> ComposeResult:
        """Put it together."""
        yield Bar(id="head", classes="bar")
        yield Bar(id="about", classes="bar")
        yield Bar(id="columns", classes="bar")
        yield AgentList("list")
        yield Bar(id="why")
        yield Bar(id="news")
        yield Input(id="filter", compact=True, placeholder="parts of names, host, class, state")
        yield Bar(id="keys")

    def on_mount(self) -> None:
        """Begin to look."""
        loop = asyncio.get_running_loop()
        for number, code in ((signal.SIGINT, INTERRUPTED), (signal.SIGTERM, OK)):
            loop.add_signal_handler(number, self.exit, code)
        loop.add_signal_handler(signal.SIGHUP, self.exit, OK)
        self.look()
        self.set_interval(LOOK, self.look)
        self.set_interval(SOON, self._look_soon)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are keys only in the list: not in the filter, and not below something else."""
        if action in ("interrupt", "leave"):
            return True
        if len(self.screen_stack) != 1:
            return False
        return action == "no_filter" or not isinstance(self.focused, Input)

    # --- what is shown ------------------------------------------------------------------------

    @property
    def listing(self) -> AgentList:
        """The list."""
        return self.screen_stack[0].query_one("#list", AgentList)

    def look(self) -> None:
        """Show what is known now; nothing in here waits for anybody."""
        if not self.is_running:
            return  # it is being put away, one part after the other
        self._found, self._trouble = self._asker.fetch()
        self._show()

    def _look_soon(self) -> None:
        if any(not request.done for request in self._asker.requests):
            self.look()

    def _show(self, *, afresh: bool = False) -> None:
        shown = list_items(self._found, self._order, self._words, only_wrong=self._only_wrong)
        self.listing.show(shown, afresh=afresh)
        self._bar("#head", self._head())
        self._bar("#about", self._about(len(shown)))
        self._bar("#columns", Text.assemble((self.listing.heading.plain, "underline")))
        self._bar("#keys", Text(KEYS, "reverse"))
        self._show_why()
        self.show_last_request(self._base("#news"))

    @property
    def _words(self) -> str:
        return self.screen_stack[0].query_one("#filter", Input).value

    def _base(self, name: str) -> Bar:
        return self.screen_stack[0].query_one(name, Bar)

    def _bar(self, name: str, text: Text) -> None:
        self._base(name).show(text)

    def _head(self) -> Text:
        now = time.time()
        return Text(f"{format_time(now, now)} ").append_text(
            headline([s.host for s in self._found])
        )

    def _about(self, shown: int) -> Text:
        away = no_router([seen.host for seen in self._found])
        if self._trouble or away is not None:
            return Text(sanitize(f"! {self._trouble or away}"), "bold red")
        stale = [seen for seen in self._found if seen.is_stale and seen.host.error is None]
        text = Text()
        if stale:
            text.append(f"STALE: {pluralize(len(stale), 'host')} slow to answer  ", "bold yellow")
        if self._words:
            text.append(f"filter: {self._words}  ", "bold")
        if self._only_wrong:
            text.append("only what is wrong  ", "bold")
        text.append(f"{pluralize(shown, 'line')}, {self._order}")
        return text.append(f"  {self._path}", "dim")

    def _show_why(self) -> None:
        """Say of the selected one in full what its line has no room for."""
        item = self.listing.selected
        text = Text("Nothing to show." if not self._words else "Nothing fits; Esc shows all.")
        if item is not None:
            said = item.remark(time.time()) or "as wanted"
            text = Text(item.name, "bold").append(f": {sanitize(said)}", "not bold")
        self._base("#why").show(text, 2)

    def show_last_request(self, where: Bar) -> None:
        """Show the latest request, and what has become of it."""
        made = self._asker.requests
        where.display = bool(made)
        if made:
            style = "bold red" if made[-1].has_failed else ""
            where.show(Text(sanitize(made[-1].text()), style), 2)

    def find(self, key: ItemKey) -> ListItem | None:
        """The item of this key as it was seen last; None if it is gone."""
        return next(
            (item for item in list_items(self._found, SortOrder.SITE) if item.key == key), None
        )

    def on_listing_selected(self) -> None:
        """Another one is selected."""
        self._show_why()

    def on_resize(self) -> None:
        """Everything is cut to the new width once the list has it."""
        self.call_after_refresh(self._show)

    # --- finding ------------------------------------------------------------------------------

    def action_order(self) -> None:
        """Show another first."""
        self._order = self._order.next
        self._show(afresh=True)

    def action_only_wrong(self) -> None:
        """Show only what is wrong, or everything again."""
        self._only_wrong = not self._only_wrong
        self._show(afresh=True)

    def action_filter(self) -> None:
        """Let a filter be typed."""
        field = self.query_one("#filter", Input)
        field.display = True
        self.screen.set_focus(field)

    def action_no_filter(self) -> None:
        """Show everything again."""
        field = self.query_one("#filter", Input)
        field.value = ""
        self._only_wrong = False
        self._close_filter()
        self._show()

    def on_input_changed(self) -> None:
        """Filter as it is typed."""
        self._show(afresh=True)

    def on_input_submitted(self) -> None:
        """The filter is as it is to be."""
        self._close_filter()

    def _close_filter(self) -> None:
        self.screen.set_focus(self.listing)
        self.query_one("#filter", Input).display = False

    # --- panes --------------------------------------------------------------------------------

    def action_details(self) -> None:
        """Show all of the selected one."""
        item = self.listing.pin_selection()
        if item is not None:
            read = self._asker.reader(item.row) if item.row is not None else None
            self.push_screen(Details(item, read))

    def action_history(self) -> None:
        """Show what happened to the selected one."""
        item = self.listing.pin_selection()
        if item is not None:
            self.show_history(item)

    def show_history(self, item: ListItem) -> None:
        """Show what happened to an agent, or on a host."""
        title = f"history of {item.name}"
        whole = item.row is None
        self.push_screen(History(title, lambda: self._asker.history(item, HISTORY), names=whole))

    def action_requests(self) -> None:
        """Show all that was asked for here."""
        made = self._asker.requests
        lines = [Text(sanitize(request.text())) for request in reversed(made)]
        self.push_screen(TextPane("asked for here, the newest first", lines or ["nothing yet"]))

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(TextPane("hostmanager top: keys and marks", HELP.splitlines()))

    # --- requests -----------------------------------------------------------------------------

    def action_change(self, command: str) -> None:
        """Tell the selected one something."""
        item = self.listing.pin_selection()
        if item is not None:
            self.change(command, item)

    def action_whole_host(self) -> None:
        """Tell the host of the selected one something."""
        item = self.listing.pin_selection()
        if item is not None:
            self.whole_host(item)

    def change(self, command: str, item: ListItem) -> None:
        """Tell an agent something; ask before, unless it is only started."""
        row = item.row
        if row is None:
            self._change_host(command, item.snapshot)
            return

        def go(agreed: bool | None) -> None:
            if agreed:
                self._asker.change(command, item.name, [row])
                self.look()

        if command == "up":
            go(True)
        else:
            question = f"{VERBS[command]} {item.name}? It is {row.state}."
            self.push_screen(ConfirmDialog(question), go)

    def whole_host(self, item: ListItem) -> None:
        """Ask what to do with all agents of its host."""
        seen = next((s for s in self._found if s.host.host.name == item.host), item.snapshot)

        def go(command: str | None) -> None:
            if command:
                self._change_host(command, seen)

        self.push_screen(HostActionDialog(item.host, len(_managed(seen))), go)

    def _change_host(self, command: str, seen: HostSnapshot) -> None:
        rows, host = _managed(seen), seen.host.host.name
        which = "all agents" if command != "restart" else "all agents that are wanted up"

        def go(agreed: bool | None) -> None:
            if agreed:
                self._asker.change(command, f"host {host}", rows)
                self.look()

        told = [row for row in rows if command != "restart" or not is_satisfied(command, row)]
        names = join_names([row.instance_id for row in told], 10)
        question = f"{VERBS[command]} {which} of host {host} ({len(told)})?\n{names}"
        self.push_screen(ConfirmDialog(question), go)

    def _fatal_error(self) -> None:
        """Say what failed in here. Textual's own way shows all variables, passwords too."""
        self.bell()
        self.panic(Text(f"hostmanager top has failed; please report this:\n{format_exc()}"))

    # --- the end ------------------------------------------------------------------------------

    def action_done(self) -> None:
        """Enough was seen."""
        self.exit(OK)

    def action_leave(self) -> None:
        """The same, from anywhere."""
        self.exit(OK)

    def action_interrupt(self) -> None:
        """Ctrl-C."""
        self.exit(INTERRUPTED)


def _managed(seen: HostSnapshot) -> list[AgentStatus]:
    return [row for row in seen.host.agents if row.is_managed]
