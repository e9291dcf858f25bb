import time

import pytest
import yaml

from hostmanager.siteconfig.diagnostics import DiagnosticCollector, SiteFileError
from hostmanager.siteconfig.yaml import nodes as tree


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def loader(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(tree, "YAML_LOADER", yaml.SafeLoader)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML without libyaml")


def parse(text):
    findings = DiagnosticCollector("f")
    return tree.parse_nodes(text, findings), [str(problem) for problem in findings.diagnostics]


def refusal(text) -> str:
    with pytest.raises(SiteFileError) as caught:
        parse(text)
    return str(caught.value)


def test_the_data_is_what_ocs_would_read():
    text = """
    base: &base {a: 1, b: [x, 2.5, yes, null, 2020-01-02]}
    more: {<<: *base, a: 2}
    set: !!set {x, y}
    """
    assert parse(text)[0].value == yaml.safe_load(text)


def test_parts_know_their_places_through_merges_and_lists():
    part, _ = parse("a: &a\n  k: v\nb:\n  <<: *a\n  l: [1, x]\n")
    merged = part.get("b").get("k")
    assert (merged.value, merged.line, merged.column) == ("v", 2, 6)
    item = part.get("b").get("l").items()[1]
    assert (item.value, item.line, item.column) == ("x", 5, 10)
    assert part.get("nothing") is None


def test_a_duplicate_key_is_a_warning_that_names_both_lines():
    part, problems = parse("a:\n  k: 1\n  j: 2\n  k: 3\n")
    assert part.get("a").get("k").value == 3
    assert problems == [
        "f:4:3: warning: the key 'k' is here a second time (first on line 2); "
        "the last one counts. Keep one of the two."
    ]


def test_a_duplicate_instance_id_asks_for_the_missing_dash():
    _, problems = parse("- instance-id: a\n  instance-id: b\n")
    assert "Is a '-' missing before this entry?" in problems[0]


def test_an_overridden_merge_is_no_duplicate():
    assert parse("a: &a {k: 1}\nb: {<<: *a, k: 2}\n")[1] == []


@pytest.mark.parametrize(
    ("text", "location", "expected"),
    [
        ("a: [1\nb: 2\n", "f:2:", "the YAML cannot be read"),
        ("a: 1\n\tb: 2\n", "f:2:", "there is a tab here"),
        ("a: 1\n---\nb: 2\n", "f:2:1", "a second YAML document"),
        ("# only\n", "f", "nothing in it but comments"),
        ("a: *b\n", "f:1:4", "undefined alias"),
        ("a: &a [*a]\n", "f:1:4", "contains itself"),
        ("a: !!python/none x\n", "f:1:4", "could not determine a constructor"),
        ("a: 1\nb: !Secret x\n", "f:2:4", "!Secret"),
        ("a: 2001-99-99\n", "f:1:4", "'2001-99-99' is not a valid value"),
        ("? [a]\n: 1\n", "f:1:3", "unhashable key"),
        ("a: 1\nb: \x07\n", "f:2:4", "U+0007"),
        ("a: 0x" + "f" * 5000, "f:1:4", "far too large"),
        ("a: " + "9" * 5000, "f:1:4", "not a valid value"),
        ("a: !!int x\n", "f:1:4", "'x' is not a valid value"),
        ("[" * 500, "f:1:101", "deeper than 100"),
        ("[" * 5000, "f:1:1", "1"),  # newer ones of libyaml stop at 1000 by themselves
    ],
)
def test_what_agents_could_not_read_is_refused_with_its_place(text, location, expected):
    message = refusal(text)
    assert message.startswith(location)
    assert expected in message


def test_more_nodes_than_a_file_may_have_are_refused(monkeypatch):
    monkeypatch.setattr(tree, "MAX_NODES", 2000)  # the real bound takes seconds to reach
    message = refusal("- 1\n" * 2001)
    assert message.startswith("f:")
    assert "more than 2000" in message


BOMBS = {
    "lists": "a0: &a0 [x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)),
    "merges": "a0: &a0 {x: 1}\n"
    + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 30)),
    "chain": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 3000)),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_an_alias_bomb_is_refused_at_once(bomb):
    start = time.thread_time()
    assert "aliases" in refusal(bomb)
    assert time.thread_time() - start < 5
