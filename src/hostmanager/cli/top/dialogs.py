"""Questions on top of everything. Whoever presses the wrong key gets nothing done."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from hostmanager.cli.top.keys import priority_binding

QUESTION = "bold"


class ConfirmDialog(ModalScreen[bool]):
    """A question whose answer is no, unless it is y."""

    BINDINGS: ClassVar[list[BindingType]] = [
        priority_binding("y,Y", "close(True)"),
        priority_binding("n,N,escape,enter,q", "close(False)"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Put it together."""
        with Vertical(classes="dialog"):
            yield Static(Text(self._question, QUESTION))
            yield Static(Text("y yes    n no"))

    def action_close(self, answer: bool) -> None:
        """Give the answer."""
        self.dismiss(answer)


class HostActionDialog(ModalScreen[str]):
    """What to do with a whole host; empty: nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        priority_binding("u", "close('up')"),
        priority_binding("d", "close('down')"),
        priority_binding("r", "close('restart')"),
        priority_binding("escape,q,n,enter", "close('')"),
    ]

    def __init__(self, host: str, agents: int) -> None:
        super().__init__()
        self._host, self._agents = host, agents

    def compose(self) -> ComposeResult:
        """Put it together."""
        with Vertical(classes="dialog"):
            yield Static(Text(f"All agents of host {self._host} ({self._agents}):", QUESTION))
            yield Static(
                Text(
                    "u  start all of them\n"
                    "d  stop all of them\n"
                    "r  restart those that are wanted up\n"
                    "Esc  nothing"
                )
            )

    def action_close(self, answer: str) -> None:
        """Give the answer."""
        self.dismiss(answer)
