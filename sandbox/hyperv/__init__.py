"""A stand-in for Windows hosts with Hyper-V."""
