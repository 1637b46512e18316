"""Where the log of a command goes."""

from __future__ import annotations

import sys
from typing import Any


def log_to_standard_error() -> None:
    """Lines for a person on a terminal, JSON lines in a file or a journal; standard output is for what was asked for.

    Called by what opens a source, or runs one: structlog takes a tenth of a second to import.
    """
    import structlog

    to_person = sys.stderr.isatty()
    render: Any = structlog.dev.ConsoleRenderer() if to_person else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if to_person else [structlog.processors.format_exc_info]),
            render,
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # whatever that is by then
    )
