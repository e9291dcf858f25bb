"""Rows that follow from others."""

from bench.model import Goal, Measurement, Row

PER_AGENT = Row("resident_each", "memory of the manager, each further agent", Goal(20), unit="kB")


def memory_per_agent(table: dict[str, dict[str, Measurement]]) -> list[Row]:
    """Put in the memory for each agent from 10 to 100, if both were measured."""
    few, many = table.get("resident_10", {}), table.get("resident_100", {})
    for kind in few.keys() & many.keys():
        if few[kind].samples and many[kind].samples:
            each = (many[kind].median - few[kind].median) * 1000 / 90
            table.setdefault(PER_AGENT.key, {})[kind] = Measurement((each,))
    return [PER_AGENT] if PER_AGENT.key in table else []
