"""What `rehost/__init__.py` imports once it is asked for, as type checkers see it: an import there would make each part of rehost
depend on the spec's checker.
"""

from rehost import spec as spec
from rehost.spec import *  # noqa: F403 - what it is, its own __all__ says
from rehost.spec import __all__ as __all__

__version__: str
