"""Every parser of bytes that somebody else writes: a value, "not ours" or its declared error.

What counts as an error is the parser's own (`RequestError`, `SiteFileError` …); any other exception
fails. Values are used as the program uses them: shown, put into JSON, made into names of files.
In here: of what the compose command, the engine and children print.
"""

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hostmanager.composefile import loader as reading
from hostmanager.composefile import yaml_source as raw
from hostmanager.composefile.command import CompletedCommand
from hostmanager.composefile.model import ComposeFileError
from hostmanager.drivers.compose import container as containers
from hostmanager.siteconfig.plugins import argument_probe as arguments
from hostmanager.siteconfig.plugins import installed_classes as classes
from tests.adversary.bytes_of_others import (
    BYTES,
    DIGITS,
    JSON,
    NUMBERS,
    TEXTS,
    make_directory,
    shown,
)
from tests.support.seeds import examples

directory = pytest.fixture(make_directory, scope="module")

# --- what the compose command, the engine and children print ----------------------------------

SERVICE = st.dictionaries(
    st.sampled_from(
        ["image", "build", "scale", "deploy", "stop_grace_period", "container_name", "depends_on"]
    ),
    JSON,
    max_size=5,
)
CONFIG = st.fixed_dictionaries(
    {}, optional={"name": JSON, "services": st.dictionaries(TEXTS, SERVICE) | JSON}
)


@given(TEXTS | JSON.map(json.dumps) | CONFIG.map(json.dumps), st.booleans())
@example("services: {a: {scale: .inf}}", True)
@example("[" * 100_000, False)
@examples(250)
def test_what_compose_says_of_a_file(text, old):
    """These errors `read` takes for an answer that is not understood; others would be its end."""
    with suppress(*reading.MALFORMED_CONFIG):
        services = reading._services(reading._parsed(text, old), {})
        for name, service in services.items():
            shown((name, service))


@given(BYTES, st.lists(TEXTS | NUMBERS, max_size=6).map(".".join))
@example(b"services: {a: [1]}", f"services.a.{DIGITS}")
@example(b"services: {a: {image: 1}}", "service 'a'")
@examples(250)
def test_a_compose_file_and_what_compose_complains_of(directory, content, dotted):
    path = directory / "compose.yaml"
    path.write_bytes(content)
    with suppress(ComposeFileError):
        root = raw.parse_yaml(path)
        for message in (f"services.{dotted}", f"Service '{dotted}'", dotted):
            line = raw.error_line(root, message)
            assert line is None or line > 0
            shown(reading._load_error("compose.yaml", root, CompletedCommand(1, "", message), ()))
    raw.source_files(path)


LABELS = st.dictionaries(
    st.sampled_from(
        [
            containers.PROJECT_LABEL,
            containers.SERVICE_LABEL,
            containers.NUMBER_LABEL,
            containers.ONEOFF_LABEL,
            containers.CONFIG_HASH_LABEL,
            containers.CONFIG_FILES_LABEL,
            containers.WORKING_DIR_LABEL,
            containers.VERSION_LABEL,
        ]
    ),
    TEXTS | NUMBERS,
)
CHECKS = st.lists(st.none() | st.fixed_dictionaries({"Output": TEXTS}), max_size=2)
HEALTH = st.fixed_dictionaries({"Status": TEXTS, "Log": CHECKS})
STATE = st.fixed_dictionaries(
    {},
    optional={
        "Status": TEXTS,
        "StartedAt": TEXTS | st.just("2026-11-25T02:03:04.123456789Z"),
        "FinishedAt": TEXTS | st.just("0001-01-01T00:00:00Z"),
        "Health": st.none() | HEALTH,
        "Error": TEXTS | st.none(),
    },
)


@given(LABELS, STATE, st.text(max_size=20) | NUMBERS.map(lambda n: f"Exited ({n}) 3 hours ago"))
@example(
    {containers.PROJECT_LABEL: "p", containers.SERVICE_LABEL: "s"},
    {},
    f"Exited ({DIGITS}) 3 hours ago",
)
@examples(250)
def test_a_container_of_anybody(labels, state, status):
    """Whoever may start containers chooses labels and names; the engine's own fields are its."""
    inspected = {"Id": "0" * 64, "Config": {"Labels": labels, "Image": "x"}, "State": state}
    listed = {"Id": "0" * 64, "Labels": labels, "Status": status, "State": state.get("Status")}
    for container in (
        containers.from_inspect(inspected),
        containers.from_list(listed, None),
    ):
        if container is not None:
            shown(
                (
                    container,
                    container.exit_status,
                    container.run_key,
                    containers.log_start(container),
                )
            )
    shown(containers.listed_project(listed))


@given(TEXTS)
@examples(200)
def test_times_and_lengths(text):
    assert containers.unix_time(text) >= 0.0
    length = reading.parse_duration(text)
    assert length is None or length >= 0.0


@given(BYTES | JSON.map(lambda value: json.dumps(value).encode()))
@examples(200)
def test_answers_of_children(content):
    shown(classes._parse_reply(content))
    with suppress(ValueError):
        shown(arguments._parse_verdict(json.loads(content)))
