"""`rehost doctor SOURCE SERVER` against the same server: part of the contract, and a test of the doctor."""

from __future__ import annotations

import importlib

from rehost.doctor import Book, Check, Result, ServerTest
from rehost.sources import Quiesce, Source, Tidy
from tests.sources.harness import Harness


class DoctorContract:
    def test_the_doctor_finds_nothing_wrong_and_leaves_nothing(self, site: Harness) -> None:
        def opening() -> Source:
            if "elsewhere" in site.lacks():
                return site.source
            module, _, function = site.elsewhere()[0].partition(":")
            source: Source = getattr(importlib.import_module(module), function)(**site.elsewhere()[1])
            return source

        told: list[Check] = []
        book = Book(told.append)
        before = site.source.remains(site.locator) if isinstance(site.source, Tidy) else []
        test = ServerTest(book, opening, site.locator, quiesce=Quiesce.NONE, run="doctor-0", budget=1 << 20)
        test.run()
        failed = [(each.id, each.found) for each in told if each.result is Result.FAILED]
        assert failed == []
        assert {each.id for each in told} >= {"reopen", "changes", "gone-again", "left"}
        assert list(site.made()) == []
        if isinstance(site.source, Tidy):
            assert site.source.remains(site.locator) == before
