"""Which service is which instance, and what is an orphan: pure functions."""

from dataclasses import replace
from pathlib import Path

import pytest

from hostmanager.agent.compose.catalog import (
    ServiceCatalog,
    build_catalog,
    find_orphans,
    orphan_view,
)
from hostmanager.composefile.model import ComposeFile, Service
from hostmanager.core.model import InstanceSpec, Kind, Target
from hostmanager.drivers.compose.container import Container, config_files, from_inspect


def file(path: str, *names: str, project: str = "p") -> ComposeFile:
    services = {name: Service(name, image=f"lab/{name}:1", digest=f"d-{name}") for name in names}
    return ComposeFile(path, Path("/site") / path, project, services)


def entry(instance_id: str, kind: Kind = Kind.DOCKER) -> InstanceSpec:
    return InstanceSpec(instance_id, "Fake", kind=kind)


def both(*files: ComposeFile, prefix: str = "ocs-", broken: tuple[str, ...] = ()) -> ServiceCatalog:
    return build_catalog(files, [f.path for f in files], prefix, broken)


def container(service: str, *files: str, **keys: object) -> Container:
    return Container("c" * 64, f"p-{service}-1", "p", service, files=files, **keys)


def test_a_service_belongs_to_the_instance_after_the_prefix():
    services = both(file("c.yaml", "ocs-a", "other"))
    spec = services.with_service(entry("a"))
    assert (spec.service.name, spec.service.project, spec.fingerprint) == ("ocs-a", "p", "d-ocs-a")
    assert spec.inoperable_reason is None
    passive = services.unmanaged_specs([spec])
    assert list(passive) == ["other"]
    assert (passive["other"].agent_class, passive["other"].initial_target) == (
        "[docker]",
        Target.PASSIVE,
    )


@pytest.mark.parametrize(("prefix", "name"), [("", "a"), ("x.", "x.a"), ("ocs-", "ocs-a")])
def test_any_prefix_the_empty_one_too(prefix, name):
    services = both(file("c.yaml", name, "b"), prefix=prefix)
    spec = services.with_service(entry("a"))
    assert spec.service.name == name
    assert list(services.unmanaged_specs([spec])) == ["b"]


def test_an_entry_without_a_service_says_where_it_was_looked_for():
    spec = both(file("c.yaml", "ocs-b"), file("d.yaml")).with_service(entry("a"))
    assert spec.service is None
    assert "No compose file has a service 'ocs-a'" in spec.inoperable_reason
    assert "c.yaml, d.yaml" in spec.inoperable_reason


def test_an_entry_without_a_service_says_which_file_is_broken():
    spec = both(file("c.yaml"), broken=("c.yaml",)).with_service(entry("a"))
    assert "c.yaml cannot be used at present" in spec.inoperable_reason


def test_entries_of_other_kinds_are_left_alone_and_keep_their_names():
    services = both(file("c.yaml", "ocs-a", "b"))
    host = entry("a", Kind.HOST)
    assert services.with_service(host) is host
    # `ocs-a` is nobody's; `b` would be a second row of that name, beside the host agent.
    assert list(services.unmanaged_specs([host, entry("b", Kind.HOST)])) == ["ocs-a"]


def test_before_the_files_are_read_nothing_is_reported_of_entries():
    spec = ServiceCatalog("ocs-", ("c.yaml",), is_loaded=False).with_service(entry("a"))
    assert spec == entry("a")


def test_the_same_service_in_two_files_is_reported_and_the_first_counts():
    services = both(file("c.yaml", "ocs-a"), file("d.yaml", "ocs-a", "b", project="q"))
    assert services.by_name["ocs-a"][0].file == "c.yaml"
    assert "'ocs-a' is in c.yaml, too" in services.warnings["d.yaml"]
    assert "c.yaml" not in services.warnings
    assert services.projects == {"p", "q"}


@pytest.mark.parametrize("name", ["all", "-f", "--help"])
def test_odd_names_are_left_out_and_reported(name):
    services = both(file("c.yaml", name, "b"))
    assert list(services.by_name) == ["b"]
    assert f"'{name}' is ignored" in services.warnings["c.yaml"]


# --- orphans ---------------------------------------------------------------------------------

REAL = {"c.yaml": "/site/c.yaml", "d.yaml": "/site/d.yaml"}


def orphan_files(container: Container, *files: ComposeFile) -> list[str]:
    return [path for _, path in find_orphans([container], files, REAL).values()]


def test_a_running_container_without_its_service_is_an_orphan():
    gone = container("gone", "/site/c.yaml")
    assert orphan_files(gone, file("c.yaml", "a")) == ["c.yaml"]
    assert orphan_files(container("a", "/site/c.yaml"), file("c.yaml", "a")) == []
    assert orphan_view(gone, "c.yaml") == {
        "compose_file": "c.yaml",
        "service": "gone",
        "container_id": gone.id,
        "running": True,
        "exit_code": 0,
        "container_found": True,
        "running_image": "",
    }


def test_what_does_not_run_or_was_run_once_is_none():
    gone = container("gone", "/site/c.yaml")
    assert orphan_files(replace(gone, status="exited"), file("c.yaml")) == []
    assert orphan_files(replace(gone, oneoff=True), file("c.yaml")) == []


def test_in_one_project_the_service_of_the_other_file_is_none():
    other = container("b", "/site/d.yaml")
    assert orphan_files(other, file("c.yaml", "a"), file("d.yaml", "b")) == []


@pytest.mark.parametrize(
    "files",
    [
        ("/home/x/c.yaml",),
        ("/site/c.yaml", "/site/compose.override.yaml"),
        ("/site/d.yaml",),  # one of ours, that could never be read
    ],
)
def test_what_was_made_from_files_of_others_is_none(files):
    assert orphan_files(container("gone", *files), file("c.yaml", "a")) == []


def test_one_made_from_several_of_our_files_is_one():
    gone = container("gone", "/site/c.yaml", "/site/d.yaml")
    assert orphan_files(gone, file("c.yaml", "a"), file("d.yaml", "b")) == ["c.yaml"]


def test_one_made_by_the_real_path_of_a_link_is_one():
    linked = replace(file("c.yaml", "a"), resolved_path=Path("/elsewhere/real.yaml"))
    assert orphan_files(container("gone", "/elsewhere/real.yaml"), linked) == ["c.yaml"]


LABEL = "com.docker.compose."


@pytest.mark.parametrize(
    ("given", "directory", "expected"),
    [
        ("compose.yaml", "/site", "/site/compose.yaml"),
        ("./compose.yaml", "/site", "/site/compose.yaml"),
        ("sub/compose.yaml", "/site/sub", "/site/sub/compose.yaml"),
        ("/site/compose.yaml", "/site", "/site/compose.yaml"),
        ("/a/b.yaml,/a/c.yaml", "/a", "/a/b.yaml,/a/c.yaml"),
        ("sub/b.yaml,c.yaml", "/site/sub", "/site/sub/b.yaml,/site/c.yaml"),
        ("", "/site", ""),
    ],
)
def test_paths_of_version_1_are_relative_to_where_it_was_called(given, directory, expected):
    labels = {f"{LABEL}project.config_files": given, f"{LABEL}project.working_dir": directory}
    assert ",".join(config_files(labels)) == expected


def test_the_digest_of_version_1_can_be_compared_with_nothing():
    labels = {f"{LABEL}project": "p", f"{LABEL}service": "a", f"{LABEL}config-hash": "abc"}
    for version, digest in (("1.29.2", ""), ("2.26.1", "abc"), ("5.0", "abc")):
        inspected = {"Id": "x", "Config": {"Labels": {**labels, f"{LABEL}version": version}}}
        assert from_inspect(inspected).digest == digest
