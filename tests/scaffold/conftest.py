from tests.cli.conftest import command as command
