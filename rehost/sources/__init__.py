"""The places servers live, each behind the protocol in `_protocol.py`."""
