"""What is read from a preview, whatever is in the file."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehost.plan import PlanError, PreviewUnreadable, read_preview
from rehost.plan._preview import UNKNOWN, differences
from tests.plan.conftest import Steps

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


def test_a_replacement_of_several_steps_is_one_resource() -> None:
    steps = Steps()
    old, new = {"server": "web-01", "imageId": "ami-1"}, {"server": "web-01", "imageId": UNKNOWN}
    steps.add("delete-replaced", "Instance", "web-01", before=old)
    steps.add("replace", "Instance", "web-01", before=old, after=new, replaceReasons=["imageId"])
    steps.add("create-replacement", "Instance", "web-01", after=new)
    found = [each for each in steps.read().resources if each.kind == "Instance"]
    assert [(each.op, each.reasons) for each in found] == [("replace", ("imageId",))]
    assert [each.as_dict() for each in found[0].changes] == [
        {"path": "imageId", "before": "ami-1", "after": "known after the update"}
    ]


def test_what_stays_is_counted_though_it_has_no_step() -> None:
    steps = Steps().job("create", "db-01")
    steps.same = 41
    preview = steps.read()
    assert preview.counts() == {"create": 1, "update": 0, "replace": 0, "delete": 0, "same": 41}
    assert (preview.stack, preview.project) == ("prod", "rehost")
    assert not preview.removes_all
    gone = Steps().job("delete", "db-01")
    assert gone.read().removes_all


def test_words_for_people_before_the_document_are_passed_over() -> None:
    text = "Previewing update (prod):\n" + json.dumps(Steps().job("create", "db-01").document())
    assert len(read_preview(text.encode(), "p").resources) == 2


def test_differences_are_in_the_words_of_the_spec_and_hide_user_data() -> None:
    before = {"schedule": {"keep_images": 3.0}, "userData": "secret", "plan": ["a"], "tags": {"a_b": "1"}}
    after = {"schedule": {"keep_images": 5.0}, "userData": "another", "plan": ["b"], "tags": {"a_b": "1"}}
    told = [(each.path, each.before, each.after) for each in differences(before, after)]
    assert told == [("schedule.keepImages", "3", "5"), ("userData", "6 characters", "7 characters")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON"),
        (b"error: no stack selected", "it is not JSON"),
        (b"[]", "neither steps nor diagnostics"),
        (b"{}", "neither steps nor diagnostics"),
        (b'{"steps": [{"op": "create", "urn": "nonsense"}]}', "its steps are not of resources"),
        (b'{"steps": ' + b"[" * 100_000, "it is nested too deep"),
        (b"\x00\xff\xfe", "it is not JSON"),
    ],
)
def test_what_is_no_preview_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(PreviewUnreadable, match="pulumi preview --json") as error:
        read_preview(content, "p.json")
    assert reason in str(error.value)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


@given(st.dictionaries(st.sampled_from(["steps", "diagnostics", "config", "changeSummary"]), JSON, max_size=4))
def test_no_document_does_more_than_be_refused(document: dict[str, object]) -> None:
    try:
        preview = read_preview(json.dumps(document).encode(), "p")
    except PlanError:
        return
    assert sum(preview.counts().values()) >= 0


@given(
    st.lists(
        st.fixed_dictionaries(
            {"op": st.sampled_from(["create", "update", "same", "delete", "odd"]), "oldState": JSON, "newState": JSON}
        ),
        max_size=4,
    )
)
def test_no_state_of_a_step_does_either(steps: list[dict[str, object]]) -> None:
    urn = "urn:pulumi:prod::rehost::pulumi-python:dynamic/rehost:ReplicationJob::web"
    document = {"steps": [{"urn": f"{urn}-{number}", **each} for number, each in enumerate(steps)]}
    for each in read_preview(json.dumps(document).encode(), "p").resources:
        assert each.kind == "ReplicationJob"
        assert isinstance(each.changes, tuple)
