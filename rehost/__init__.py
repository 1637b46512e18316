"""rehost moves servers into AWS as code. `docs/architecture.md` is the map."""

__version__ = "0.1.0"
