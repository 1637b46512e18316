"""Files of Windows hosts, read over SMB 3 with encryption: by smbprotocol up to the login, by a short path of our own for the bytes.

Nothing of smbprotocol is imported before the first connection.
"""

from rehost.sources.smb._credentials import SmbAuth, SmbCredentials
from rehost.sources.smb._errors import NotEncrypted
from rehost.sources.smb._files import SmbFile, SmbFiles

__all__ = ["NotEncrypted", "SmbAuth", "SmbCredentials", "SmbFile", "SmbFiles"]
