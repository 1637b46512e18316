"""What others may rely on."""

from __future__ import annotations

import pickle

import pytest

import rehost.plan
from rehost.errors import RehostError
from rehost.plan import BaseUnreadable, PlanError, PolicyWrong, PreviewUnreadable, PricesWrong


def test_what_is_public_is_listed() -> None:
    assert rehost.plan.__all__ == sorted(
        rehost.plan.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)
    )
    for name in rehost.plan.__all__:
        assert getattr(rehost.plan, name) is not None


@pytest.mark.parametrize(
    "error",
    [
        PreviewUnreadable(file="p.json", reason="r"),
        BaseUnreadable(base="main", reason="r"),
        PolicyWrong(file="p.yaml", where="a", reason="r"),
        PricesWrong(file="p.yaml", where="a", reason="r"),
    ],
)
def test_errors_survive_pickle(error: PlanError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
    assert isinstance(copy, RehostError)
