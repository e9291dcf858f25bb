"""What compose files mean, as the real compose commands say it."""

import json
import os

import pytest
import yaml

from hostmanager.composefile.command import Compose
from hostmanager.composefile.loader import load_compose_file, parse_duration
from hostmanager.composefile.model import ComposeFileError
from hostmanager.composefile.yaml_source import source_files

A = {"image": "lab/a:1"}


def text(services: dict, **top: object) -> str:
    return yaml.safe_dump({"services": services, **top}, sort_keys=False)


async def refused(compose: Compose, path: str) -> str:
    with pytest.raises(ComposeFileError) as error:
        await load_compose_file(compose, path)
    return str(error.value)


async def test_services_and_what_matters_of_them(compose, write):
    services = {
        "ocs-a": {**A, "stop_grace_period": "1m30s"},
        "two": {**A, "depends_on": ["ocs-a"]},
    }
    file = await load_compose_file(compose, write(text(services, version="2.4")))
    assert list(file.services) == ["ocs-a", "two"]
    a = file.services["ocs-a"]
    assert (a.image, a.stop_grace, a.build) == ("lab/a:1", 90.0, False)
    assert file.services["two"].depends_on == ("ocs-a",)
    assert (file.project, file.path) == ("work", "compose.yaml")
    assert [s.digest_comparable for s in file.services.values()] == [not compose.is_v1, False]
    assert bool(a.digest) != compose.is_v1


async def test_a_service_behind_a_profile_is_a_service(compose, write):
    file = await load_compose_file(
        compose, write(text({"a": A, "b": {**A, "profiles": ["debug"]}}))
    )
    assert list(file.services) == ["a", "b"]


async def test_one_that_is_only_built_has_no_image_of_its_own(compose, write):
    file = await load_compose_file(
        compose, write(text({"a": {"build": "."}, "b": {**A, "build": "."}}))
    )
    assert (file.services["a"].image, file.services["a"].build) == (None, True)
    assert (file.services["b"].image, file.services["b"].build) == ("lab/a:1", True)


async def test_scale_and_replicas(v2, write):
    services = {"a": {**A, "scale": 2}, "b": {**A, "deploy": {"replicas": 3}}, "c": A}
    file = await load_compose_file(v2, write(text(services)))
    assert [s.scale for s in file.services.values()] == [2, 3, 1]


async def test_anchors_and_merges(compose, write):
    source = (
        "x-usual: &usual {image: 'lab/a:1', stop_grace_period: 3s}\n"
        "services:\n  a: *usual\n  b: {<<: *usual, image: 'lab/b:2'}\n"
    )
    file = await load_compose_file(compose, write('version: "3.7"\n' + source))
    assert [s.image for s in file.services.values()] == ["lab/a:1", "lab/b:2"]
    assert [s.stop_grace for s in file.services.values()] == [3.0, 3.0]


async def test_extends_another_file_which_counts_as_a_source(compose, write, directory):
    write(text({"usual": {**A, "stop_grace_period": "7s"}}, version="2.4"), "base/usual.yaml")
    extended = {"a": {"extends": {"file": "base/usual.yaml", "service": "usual"}}}
    file = await load_compose_file(compose, write(text(extended, version="2.4")))
    assert file.services["a"].stop_grace == 7.0
    assert directory / "base/usual.yaml" in source_files(directory / file.path)


async def test_include_and_what_that_includes_count_as_sources(v2, write, directory):
    write(text({"c": {**A, "env_file": "c.env"}}), "sub/inner.yaml")
    write("X=1", "sub/c.env")
    write(text({"b": A}, include=["inner.yaml"]), "sub/outer.yaml")
    file = await load_compose_file(
        v2, write(text({"a": A}, include=[{"path": ["sub/outer.yaml"]}]))
    )
    assert sorted(file.services) == ["a", "b", "c"]
    names = ("sub/inner.yaml", "sub/outer.yaml", "sub/c.env", "sub/.env", ".env")
    assert {directory / name for name in names} <= source_files(directory / file.path)


async def test_variables_come_from_dot_env_and_from_the_environment(compose, write):
    write("TAG=7\nNAME=from-file\n", ".env")
    compose.environ["NAME"] = "from-environment"
    file = await load_compose_file(
        compose, write(text({"a": {"image": "lab/$NAME:${TAG}-${NONE:-x}"}}))
    )
    assert file.services["a"].image == "lab/from-environment:7-x"


async def test_a_project_name_from_dot_env(compose, write):
    written = "# mine\nexport COMPOSE_PROJECT_NAME='My.Site'\n" if compose.is_v1 else None
    write(written or "COMPOSE_PROJECT_NAME=mysite\n", ".env")
    assert (await load_compose_file(compose, write(text({"a": A})))).project == "mysite"


async def test_a_name_in_the_file(v2, write):
    assert (await load_compose_file(v2, write(text({"a": A}, name="other")))).project == "other"


async def test_a_directory_with_spaces_and_capitals(compose, write):
    file = await load_compose_file(compose, write(text({"a": A}), "My Dir.X-y/the file.yaml"))
    assert file.project == "mydirx-y"
    assert list(file.services) == ["a"]


async def test_a_link_to_a_file_keeps_the_directory_of_the_link(compose, write, directory):
    write(text({"a": {**A, "env_file": "a.env"}}), "elsewhere/real.yaml")
    write("X=1", "place/a.env")
    (directory / "place/compose.yaml").symlink_to("../elsewhere/real.yaml")
    file = await load_compose_file(compose, "place/compose.yaml")
    assert file.project == "place"
    assert file.resolved_path == directory / "elsewhere/real.yaml"


async def test_relative_paths_start_at_the_working_directory(compose, write, monkeypatch, tmp_path):
    write(text({"a": A}), "sub/c.yaml")
    monkeypatch.chdir("/")
    assert list((await load_compose_file(compose, "sub/../sub/c.yaml")).services) == ["a"]
    outside = tmp_path / "outside.yaml"
    outside.write_text(text({"b": A}))
    assert list((await load_compose_file(compose, "../outside.yaml")).services) == ["b"]
    assert list((await load_compose_file(compose, str(outside))).services) == ["b"]


async def test_odd_names_are_read_as_they_are(v2, write):
    names = ["all", "-f", "--help", "a.b_c-d", "9"]
    file = await load_compose_file(v2, write(text(dict.fromkeys(names, A))))
    assert sorted(file.services) == sorted(names)


async def test_a_changed_command_changes_the_digest_and_a_comment_does_not(v2, write):
    one = (await load_compose_file(v2, write(text({"a": A, "b": A})))).services
    two = (
        await load_compose_file(v2, write("# new\n" + text({"a": {**A, "command": "x"}, "b": A})))
    ).services
    assert one["a"].digest != two["a"].digest
    assert one["b"].digest == two["b"].digest != ""


async def test_a_changed_env_file_changes_the_digest(v2, write):
    path = write(text({"a": {**A, "env_file": "a.env"}}))
    write("X=1", "a.env")
    one = (await load_compose_file(v2, path)).services["a"].digest
    write("X=2", "a.env")
    assert one != (await load_compose_file(v2, path)).services["a"].digest != ""


# --- files that cannot be used ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("services:\n  a:\n    image: x\n   command: y\n", ["compose.yaml, line 4", "YAML"]),
        ("services: {a: [}\n", ["compose.yaml, line 1", "YAML"]),
        ("", ["not a compose file"]),
        ("- a\n- b\n", ["not a compose file"]),
        ("just words", ["not a compose file"]),
        ("services:\n  a:\n    image: x\n    comand: y\n", ["line 4", "comand"]),
        ("services:\n  b: {image: x}\n  a:\n    image: x\n    ports: 80\n", ["line 5", "ports"]),
        ("services:\n  b: {image: x}\n  a:\n    command: x\n", ["line 3", "neither an image nor"]),
        ("services:\n  a:\n    image: x\n    env_file: no.env\n", ["no.env"]),
        ("services:\n  a:\n    image: x\n    depends_on: [z]\n", ["depends on", "z"]),
        ("services:\n  a:\n    image: '${T?need T}'\n", ["line 3", "need T"]),
        ("\x00\x01\x02", ["YAML"]),
    ],
)
async def test_what_is_wrong_is_reported_with_its_line(compose, write, source, expected):
    error = await refused(compose, write(source))
    assert error.startswith("compose.yaml")
    assert "\n" not in error
    assert len(error) < 600
    if compose.is_v1:  # it puts things in other words
        expected = [
            w for w in expected if "YAML" in w or w.startswith(("compose", "not a compose"))
        ]
    assert [word for word in expected if word not in error] == [], error


async def test_two_services_of_one_name_in_one_file_are_refused(v2, write):
    error = await refused(v2, write("services:\n  a: {image: x}\n  a: {image: y}\n"))
    assert 'mapping key "a" already defined' in error


async def test_missing_directory_loop_and_unreadable(compose, directory, write):
    assert await refused(compose, "none.yaml") == "none.yaml does not exist."
    (directory / "dir.yaml").mkdir()
    assert (
        await refused(compose, "dir.yaml")
        == "dir.yaml cannot be read: it is a directory, not a regular file."
    )
    (directory / "loop.yaml").symlink_to("loop.yaml")
    assert "loop.yaml cannot be read: Too many levels" in await refused(compose, "loop.yaml")
    (directory / "dangling.yaml").symlink_to("nowhere")
    assert await refused(compose, "dangling.yaml") == "dangling.yaml does not exist."
    write("x", "file")
    assert "Not a directory" in await refused(compose, "file/compose.yaml")


async def test_fifty_megabytes_and_bytes(compose, directory):
    (directory / "large.yaml").write_bytes(b"x: y\n" * 10_000_000)
    assert "larger than 4 MiB" in await refused(compose, "large.yaml")
    (directory / "bytes.yaml").write_bytes(bytes(range(256)) * 100)
    assert (await refused(compose, "bytes.yaml")).startswith("bytes.yaml")
    (directory / "utf16.yaml").write_bytes(b"\xff\xfeservices")
    assert (await refused(compose, "utf16.yaml")).startswith("utf16.yaml")


async def test_an_include_that_is_not_there_is_named(v2, write):
    error = await refused(v2, write(text({"a": A}, include=["gone.yaml"])))
    assert "gone.yaml" in error


async def test_a_file_without_services(compose, write):
    version = "version: '2.4'\n" if compose.is_v1 else ""
    assert (await load_compose_file(compose, write(f"{version}services: {{}}\n"))).services == {}


async def test_a_command_whose_answer_makes_no_sense(environ, directory, write):
    fake = directory / "docker-compose"
    for answer in ("nonsense", "[]", json.dumps({"services": {"a": [1]}}), ""):
        fake.write_text(f"#!/bin/sh\necho '{answer}'\n")
        fake.chmod(0o755)
        error = await refused(
            Compose((str(fake),), (2, 26), environ, directory), write(text({"a": A}))
        )
        assert "is malformed" in error


async def test_a_command_that_went_away(environ, directory, write):
    gone = Compose((str(directory / "gone"),), (2, 26), environ, directory)
    error = await refused(gone, write(text({"a": A})))
    assert error.startswith("compose.yaml: ")
    assert "cannot be executed: No such file or directory" in error


@pytest.mark.parametrize(
    ("written", "length"),
    [("10s", 10.0), ("1m30s", 90.0), ("1h", 3600.0), ("500ms", 0.5), ("1.5s", 1.5), (None, None)],
)
def test_lengths_of_time(written, length):
    assert parse_duration(written) == length


async def test_reading_changes_nothing(compose, write, directory):
    path = write(text({"a": A}, version="2.4"))
    before = (directory / path).read_bytes()
    assert (await load_compose_file(compose, path)).services
    assert (directory / path).read_bytes() == before
    assert os.listdir(directory) == ["compose.yaml"]  # noqa: PTH208 - pathlib blocks, too


async def test_a_variable_that_is_not_set_is_named_with_its_line(compose, write):
    a = "services:\n  a:\n    image: x:1$SUFFIX\n    labels:\n      - b=${DIR}/data\n"
    file = await load_compose_file(compose, write(a))
    assert [(each.name, each.line, each.service) for each in file.unset] == [
        ("SUFFIX", 3, "a"),
        ("DIR", 5, "a"),
    ]
    write("SUFFIX=\nDIR=/srv\n", ".env")
    assert (await load_compose_file(compose, write(a))).unset == ()


async def test_a_file_refused_for_a_variable_that_is_not_set_says_so_first(v2, write):
    name = write("services:\n  a:\n    image: x\n    volumes:\n      - ${OCS_CONFIG}:/config:ro\n")
    message = await refused(v2, name)
    assert message.startswith("compose.yaml, line 5: the variable OCS_CONFIG is not set.")
    assert "Compose says: invalid spec: :/config:ro" in message


async def test_networks_and_volumes_that_compose_makes_have_their_names_on_the_engine(
    compose, write
):
    services = {
        "a": {
            **A,
            "networks": ["lan", "ext"],
            "volumes": ["data:/d", "/tmp:/t", "./x:/x", "own:/o"],
        },
        "b": {**A, "network_mode": "none"},
    }
    more = {
        "networks": {"lan": {"name": "the-lan"}, "ext": {"external": True}, "unused": {}},
        "volumes": {"data": {}, "own": {"external": True}},
    }
    file = await load_compose_file(compose, write(text(services, version="3.5", **more)))
    for name in "ab":  # compose makes what any of them needs
        assert file.services[name].networks == ("the-lan",)
        assert file.services[name].volumes == ("work_data",)


async def test_compose_makes_what_is_needed_by_those_that_it_would_enable(v2, write):
    services = {
        "a": {**A, "networks": ["lan"]},
        "b": {**A, "volumes": ["data:/d"]},
        "c": {**A, "networks": ["debug"], "profiles": ["debug", "more"]},
        "d": {**A, "networks": ["more"], "profiles": ["more"]},
        "e": {**A, "networks": ["other"], "profiles": ["other"]},
    }
    networks = {key: {} for key in ["lan", "debug", "more", "other"]}
    file = await load_compose_file(
        v2, write(text(services, networks=networks, volumes={"data": {}}))
    )
    made = {
        key: {name.removeprefix("work_") for name in each.networks}
        for key, each in file.services.items()
    }
    assert made == {
        "a": {"default", "lan"},
        "b": {"default", "lan"},
        "c": {"default", "lan", "debug", "more"},
        "d": {"default", "lan", "debug", "more"},
        "e": {"default", "lan", "other"},
    }
    assert {each.volumes for each in file.services.values()} == {("work_data",)}
