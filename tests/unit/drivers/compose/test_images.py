"""Names of images, as compose files write them and as the engine lists them."""

import pytest

from hostmanager.drivers.compose.images import Images, canonical_name

DIGEST = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("written", "listed"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1", "busybox:1"),
        ("docker.io/library/busybox:1", "busybox:1"),
        ("docker.io/busybox", "busybox:latest"),
        ("index.docker.io/simonsobs/ocs:v1", "simonsobs/ocs:v1"),
        ("simonsobs/ocs", "simonsobs/ocs:latest"),
        ("localhost:5000/ocs", "localhost:5000/ocs:latest"),
        ("localhost:5000/ocs:v1", "localhost:5000/ocs:v1"),
        (f"busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"busybox@{DIGEST}"),
        (f"localhost:5000/x:1@{DIGEST}", f"localhost:5000/x@{DIGEST}"),
        (DIGEST, DIGEST),
    ],
)
def test_names(written, listed):
    assert canonical_name(written) == listed


def test_images_are_found_by_any_of_their_names():
    images = Images([
        {"Id": DIGEST, "RepoTags": ["busybox:1", "a/b:c"], "RepoDigests": [f"busybox@{DIGEST}"]},
        {"Id": "sha256:2", "RepoTags": None, "RepoDigests": None},
        {"Id": "sha256:3", "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]},
    ])  # fmt: skip
    for name in (
        "busybox:1",
        "docker.io/library/busybox:1",
        "a/b:c",
        f"busybox:9@{DIGEST}",
        DIGEST,
    ):
        assert images.id_of(name) == DIGEST
    assert images.id_of("sha256:2") == "sha256:2"
    for name in ("busybox", "<none>", "<none>:<none>", "other:1"):
        assert images.id_of(name) is None
