"""Spec files written anew, comments and all: in one form, or in the present version of the language. Loads ruamel.yaml."""

from rehost.spec.editing._migrate import migrate
from rehost.spec.editing._tidy import tidy

__all__ = ["migrate", "tidy"]
