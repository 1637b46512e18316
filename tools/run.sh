#!/bin/sh
# Run a module of this repository, `sh tools/run.sh tools.setup ...`, with the first Python that is recent enough.
set -eu
cd "$(dirname "$0")/.."
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 /usr/bin/python3; do
    # Asking it is the only sure test: pyenv's shims exist for versions that are not installed.
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        exec "$candidate" -m "$@"
    fi
done
echo "rehost needs Python 3.11 or newer; 'python3' here is: $(python3 --version 2>&1 || echo not installed)." >&2
echo "Debian 12 and Ubuntu 24.04 have it: apt-get install python3 python3-venv. Or name one: make PYTHON=/path/to/python3" >&2
exit 1
