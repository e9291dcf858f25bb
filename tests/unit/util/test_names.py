"""Instance ids in names of files: the same for most, and read back for all."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostmanager.util.names import MAX_ID_CHARS, decode_id, encode_id, id_problem, is_usable_id

ORDINARY = string.ascii_letters + string.digits + "._-"


@given(st.text(ORDINARY, min_size=1, max_size=MAX_ID_CHARS))
def test_ordinary_ids_stand_as_they_are(instance_id):
    assert encode_id(instance_id) == instance_id
    assert decode_id(instance_id) == instance_id


@given(st.text(max_size=MAX_ID_CHARS + 20))
def test_what_is_usable_is_read_back_and_is_one_part_of_a_path(instance_id):
    name = encode_id(instance_id)
    assert set(name) <= {*ORDINARY, "%"}
    if is_usable_id(instance_id):
        assert decode_id(name) == instance_id
        assert len(name) <= MAX_ID_CHARS
    else:
        assert decode_id(name) is None
        assert id_problem(instance_id) is not None or not instance_id.isprintable()


@given(st.text(ORDINARY + "%éß ²\n/"))
def test_a_name_that_nobody_wrote_is_none(name):
    decoded = decode_id(name)
    assert decoded is None or encode_id(decoded) == name


@pytest.mark.parametrize(
    ("instance_id", "name"),
    [("kühler", "k%C3%BChler"), ("a/b", "a%2Fb"), ("a%2Fb", "a%252Fb"), ("x:y", "x%3Ay")],
)
def test_how_others_are_written(instance_id, name):
    assert (encode_id(instance_id), decode_id(name)) == (name, instance_id)
    assert id_problem(instance_id) is None


@pytest.mark.parametrize(
    "instance_id",
    ["--help", "-rf", "..", ".", "a..b", ".a", "a.", "a b", "a\tb", "a\n", "#1"],
)
def test_what_no_agent_can_be_called_is_refused_with_a_sentence(instance_id):
    assert id_problem(instance_id) is not None
    what, hint = id_problem(instance_id)
    assert what.split()[0] in {"has", "begins"}
    assert hint.endswith(".")


@pytest.mark.parametrize(
    "instance_id", ["kühler", "a.b", "LSA22YG", "温度", "a:b", "a@b", "a%b", "a/b"]
)
def test_what_plain_ocs_runs_is_an_id(instance_id):
    assert id_problem(instance_id) is None


@pytest.mark.parametrize(
    "name", ["k%c3%bchler", "%41", "%", "%4", "%zz", "%C3", "kühler", "a%00", ""]
)
def test_there_is_one_way_to_write_an_id(name):
    assert decode_id(name) is None
