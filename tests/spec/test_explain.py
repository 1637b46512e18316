"""What `rehost explain` looks up."""

from __future__ import annotations

import pickle

import pytest

from rehost import spec


@pytest.mark.parametrize(
    ("path", "canonical", "value", "is_required"),
    [
        ("", "the spec", "mapping", False),
        ("servers", "servers", "mapping from names to mappings", False),
        ("servers.image.conversion", "servers.NAME.image.conversion", "import or register", False),
        ("servers.web-01.image.conversion", "servers.NAME.image.conversion", "import or register", False),
        ("servers.NAME.locator", "servers.NAME.locator", "mapping", True),
        ("sources.tls", "sources.NAME.tls", "mapping", False),
        ("sources.credentials.password", "sources.NAME.credentials.password", "mapping", True),
        ("applications.groups.servers", "applications.NAME.groups.NAME.servers", "list of text", False),
        ("applications.shop.groups.db.servers[0]", "applications.NAME.groups.NAME.servers[]", "text", False),
        ("schedules.blackouts.days", "schedules.NAME.blackouts.NAME.days", "list of mon or tue or wed or thu or fri or sat or sun", False),
        ("servers.tags", "servers.NAME.tags", "mapping from names to text", False),
        ("servers.tags.team", "servers.NAME.tags.NAME", "text", False),
        ("servers.image.copies.kmsKey", "servers.NAME.image.copies.NAME.kmsKey", "text", False),
        ("schedules.continuous", "schedules.NAME.continuous", "true", False),
    ],
)  # fmt: skip
def test_keys_with_and_without_names(path: str, canonical: str, value: str, is_required: bool) -> None:
    found = spec.explain(path)
    assert (found.path, found.value, found.is_required) == (canonical, value, is_required)
    assert found.entry["description"]


def test_what_an_entry_has_and_needs() -> None:
    found = spec.explain("servers")
    assert set(found.keys) == set(spec.schema()["$defs"]["server"]["properties"])
    assert found.needed == {"locator"}
    assert {"endpoint", "sockets", "path"} <= set(spec.explain("sources").keys), "the keys of all types"
    assert spec.explain("servers.image.conversion").keys == {}


def test_limits() -> None:
    assert spec.explain("schedules.keepImages").limits == ["0 to 1000"]
    assert "at most 256 characters" in spec.explain("servers.tags.x").limits
    assert "a reference, never the secret itself" in spec.explain("sources.credentials.password").limits


def test_own_words_go_before_those_that_are_referred_to() -> None:
    assert spec.explain("servers.locator").entry["description"].startswith("Which machine of its source it is.")


def test_as_data() -> None:
    found = spec.explain("servers.image.conversion").as_dict()
    assert found["path"] == "servers.NAME.image.conversion"
    assert found["schema"]["enum"] == ["import", "register"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("server", "the spec has no key server (did you mean servers?)"),
        ("servers.imagee", "servers.NAME has no key imagee (did you mean image?)"),
        ("servers.imgae.conversion", "servers.NAME has no key imgae (did you mean image?)"),
        ("servers.web-01.imgae", "servers.NAME has no key imgae (did you mean image?)"),
        ("servers.image.conversion.x", "servers.NAME.image.conversion has no key x"),
        ("servers.\x00.\n", "servers.NAME has no key '\\n'"),
        ("servers.\x00.imgae", "servers.NAME has no key imgae"),
    ],
)
def test_a_key_that_does_not_exist(path: str, said: str) -> None:
    with pytest.raises(spec.NoSuchKey) as error:
        spec.explain(path)
    assert str(error.value).startswith(said)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def every_path() -> list[str]:
    found, todo = [], [""]
    while todo:
        path = todo.pop()
        for key in spec.explain(path).keys:
            found.append(f"{path}.{key}".lstrip("."))
            todo.append(found[-1])
    return found


def test_every_key_can_be_explained() -> None:
    paths = every_path()
    assert len(paths) > 250
    for path in paths:
        explained = spec.explain(path)
        assert explained.path.replace(".NAME", "").replace("[]", "") == path
        assert explained.value
        assert explained.entry["description"].endswith(".")
        assert explained.entry["examples"], path
