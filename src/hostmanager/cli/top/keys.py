"""Keys: what each does, in the order in which they were pressed.

Textual hands a key to the widget that has the focus, and what is bound in it runs some time
later; somebody who types fast over a slow line would act on another agent than the one that
they see selected. Bindings with priority run before the next key is looked at.
"""

from textual.binding import Binding


def priority_binding(keys: str, action: str) -> Binding:
    """Bind keys, separated by commas, to an action."""
    return Binding(keys, action, show=False, priority=True)
