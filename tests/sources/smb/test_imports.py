"""A spec without Hyper-V does not pay for smbprotocol, and neither does one with it before the first file is read."""

from __future__ import annotations

import subprocess
import sys


def test_smbprotocol_is_imported_with_the_first_connection() -> None:
    program = (
        "import sys; from rehost.sources.smb import SmbCredentials, SmbFiles;"
        "SmbFiles('host', SmbCredentials('a', 'b')).close();"
        "print([name for name in sys.modules if name.partition('.')[0] in ('smbprotocol', 'smbclient', 'spnego', 'cryptography')])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
