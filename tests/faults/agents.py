"""Who is on the site under faults: the agents, how they behave, and how the managers are run."""

AGENTS: dict[str, tuple[object, ...]] = {
    "ok-0": (),
    "ok-1": (),
    "ok-2": (),
    "ok-3": (),
    "stubborn": ("--behave", "stubborn"),
    "very-stubborn": ("--behave", "very-stubborn"),
    "slow": ("--behave", "slow-stop", 0.5),
    "fork": ("--behave", "fork"),
    "leave": ("--behave", "fork", "--leave"),
    "chatty": ("--behave", "counted", "--rate", 5000),
    "talker": ("--behave", "counted", "--rate", 2000),
    "utf8": ("--behave", "bad-utf8"),
    "crash": ("--behave", "crash-after", 4),
    "segfault": ("--behave", "segfault"),
    "spare": (),
}
DOWN_FIRST = {"very-stubborn", "spare"}
PATIENT = {"very-stubborn"}  # takes 6 s to be ended
CRASHERS = {"crash", "segfault"}
COUNTED = ("chatty", "talker")  # whose lines are counted
STEADY = tuple(name for name in AGENTS if name not in CRASHERS)

OPTIONS = (
    *("--stop-timeout", "1", "--restart-delay-max", "2"),
    # Small, so that output files change often; all are kept, so that lines can be counted.
    *("--output-size", "0.05", "--output-files", "1000"),
)
