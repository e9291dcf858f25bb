"""Site configs with something wrong in them, for whatever reads one."""

import yaml
from hypothesis import strategies as st

from hostmanager.siteconfig.entry import MANAGE_VALUES
from tests.unit.siteconfig.conftest import GOOD

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.binary(max_size=5),
    st.text(max_size=10),
    st.sampled_from(["", "-", "--", "a", "HostManager", "localhost", *MANAGE_VALUES]),
)
NODES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCALARS, inner, max_size=4),
    max_leaves=8,
)


def dump(data: object) -> bytes:
    return yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogatepass")


def positions(node: object, path: tuple = ()) -> list[tuple]:
    if not isinstance(node, dict | list):
        return [path]
    inner = node.items() if isinstance(node, dict) else enumerate(node)
    return [path, *(location for key, item in inner for location in positions(item, (*path, key)))]


GOOD_DATA = yaml.safe_load(GOOD)
POSITIONS = [path for path in positions(GOOD_DATA) if path]


def _replace_node(path: tuple, node: object) -> bytes:
    data = yaml.safe_load(GOOD)
    target = data
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = node
    return dump(data)


def _replace_byte(position: int, byte: int) -> bytes:
    content = bytearray(GOOD.encode())
    content[position] = byte
    return bytes(content)


ONE_NODE_REPLACED = st.builds(_replace_node, st.sampled_from(POSITIONS), NODES)
"""The good file, anything else at one position of its tree."""

ONE_BYTE_CHANGED = st.builds(
    _replace_byte, st.integers(0, len(GOOD.encode()) - 1), st.integers(0, 255)
)
"""The good file, one byte of it another one."""
