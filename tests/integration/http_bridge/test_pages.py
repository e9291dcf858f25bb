"""Long answers come in pages; what is not shown is said."""

from tests.support.http_bridge import child, session


def site(bridge, site_file):
    bridge.write(site_file, daq1=["a1"])
    bridge.sessions["hm-daq1"] = {"manager": session(child("a1"))}


def journal(bridge, total, page):
    """A manager that gives so many entries at a time."""

    def history(_manager, params):
        end = params.get("before") or total
        first = max(0, end - min(page, params["limit"]))
        entries = [
            {
                "id": n,
                "time": float(n),
                "kind": "exit" if n % 100 == 0 else "state",
                "instance_id": "a1",
                "text": f"entry {n}",
                "data": {},
            }
            for n in range(first, end)
        ]
        return True, "", {"entries": entries, "older": first or None, "trouble": None}

    bridge.tasks["history"] = history


def numbers(result):
    return [int(line.rsplit(" ", 1)[1]) for line in result.out.splitlines()]


def test_history_is_read_page_by_page(bridge, site_file, run):
    site(bridge, site_file)
    journal(bridge, 3000, 400)
    assert numbers(run("history", "-n", "1500")) == list(range(1500, 3000))
    assert numbers(run("history")) == list(range(2950, 3000))
    result = run("history", "--since", "1970-01-01")
    assert numbers(result) == list(range(3000))
    assert result.err == ""


def test_a_kind_that_is_rare_is_looked_for_in_older_pages(bridge, site_file, run):
    site(bridge, site_file)
    journal(bridge, 3000, 400)
    assert numbers(run("history", "--kind", "exit", "-n", "20")) == list(range(1000, 3000, 100))


def test_history_that_is_cut_says_how_to_get_more(bridge, site_file, run):
    site(bridge, site_file)
    journal(bridge, 11_000, 5000)
    result = run("history", "--since", "1970-01-01")
    assert len(numbers(result)) == 10_000
    assert "daq1: these are the newest 10000 entries; -n 100000 shows more." in result.err
    assert run("history", "-n", "20").err == ""


def test_history_that_a_manager_without_pages_has_cut_is_reported_as_such(bridge, site_file, run):
    site(bridge, site_file)
    text = "1074 entries. 8926 older ones would have made the answer too large."
    bridge.tasks["history"] = lambda *_: (True, text, {"entries": [], "trouble": None})
    assert "8926 older ones would have made the answer too large" in run("history").err


def output(bridge, total, page):
    """A manager that gives so many lines at a time."""

    def answer(_manager, params):
        end = (params.get("before") or [1, total])[1]
        first = max(0, end - min(page, params["lines"]))
        lines = [[float(n + 1), f"line {n}"] for n in range(first, end)]
        data = {"instance_id": "a1", "lines": lines, "cut": first > 0}
        return True, "", {**data, "older": [1, first] if first else None}

    bridge.tasks["output"] = answer


def test_logs_are_read_page_by_page(bridge, site_file, run):
    site(bridge, site_file)
    output(bridge, 3000, 400)
    assert numbers(run("logs", "a1", "-n", "1500")) == list(range(1500, 3000))
    result = run("logs", "a1", "--since", "1970-01-01")
    assert numbers(result) == list(range(3000))
    assert result.err == ""


def test_logs_that_are_cut_say_how_to_get_more(bridge, site_file, run):
    site(bridge, site_file)
    output(bridge, 12_000, 5000)
    result = run("logs", "a1", "--since", "1970-01-01")
    assert len(numbers(result)) == 10_000
    assert "only the newest 10000 lines of a1; -n 100000 shows more" in result.err
    assert len(numbers(run("logs", "a1", "-n", "11000"))) == 11_000
