"""The stand-in for Azure, asked by Microsoft's own clients: what they read of its answers is what Azure's models have."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.compute.models import (
    CreationData,
    GrantAccessData,
    RestorePoint,
    RestorePointCollection,
    RestorePointCollectionSourceProperties,
    Snapshot,
)
from azure.storage.blob import BlobClient

from sandbox.azure import GROUP, LOCATION, AzureCloud, Azurite
from tools import azurite
from tools._errors import SetupError
from tools._progress import Progress

SCOPE = "https://management.azure.com/.default"
MIB = 1 << 20
#: They take what is in `properties` as well, which their types do not say.
_Snapshot: Any = Snapshot
_Collection: Any = RestorePointCollection
_RestorePoint: Any = RestorePoint


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """One Azurite a test worker: it is slow to start."""
    if shutil.which("node") is None:
        pytest.skip("there is no node here: Debian package nodejs")
    try:
        program = azurite.ensure(Progress())
    except SetupError as error:
        pytest.skip(str(error))
    with Azurite(tmp_path_factory.mktemp("azurite"), program) as started:
        yield started


class Client:
    """Microsoft's clients of one cloud, without retries: an error is an error."""

    def __init__(self, cloud: AzureCloud) -> None:
        self.cloud = cloud
        self._options: dict[str, Any] = {"connection_verify": str(cloud.ca), "retry_total": 0}
        self.credential = self.login()
        # Most of a model may be None by its types; what these tests ask of it is there, or they fail.
        self.compute: Any = ComputeManagementClient(
            self.credential,
            cloud.subscription,
            base_url=cloud.endpoint,
            credential_scopes=[SCOPE],
            polling_interval=0.02,
            **self._options,
        )
        self._blobs: list[BlobClient] = []

    def login(self, **changed: Any) -> ClientSecretCredential:
        cloud = self.cloud
        asked = {
            "tenant_id": cloud.tenant,
            "client_id": cloud.client_id,
            "client_secret": cloud.client_secret,
        } | changed
        return ClientSecretCredential(
            **asked, authority=cloud.endpoint, disable_instance_discovery=True, **self._options
        )

    def snapshot(self, name: str, disk_id: str, **options: Any) -> Any:
        data = CreationData(create_option="Copy", source_resource_id=disk_id)
        asked = _Snapshot(location=LOCATION, creation_data=data, incremental=True, **options)
        return self.compute.snapshots.begin_create_or_update(GROUP, name, asked).result()

    def access(self, name: str, seconds: int = 3600) -> str:
        """The URL of a snapshot."""
        asked = GrantAccessData(access="Read", duration_in_seconds=seconds)
        return str(self.compute.snapshots.begin_grant_access(GROUP, name, asked).result().access_sas)

    def blob(self, url: str) -> BlobClient:
        made = BlobClient.from_blob_url(url, **self._options)
        self._blobs.append(made)
        return made

    def collection(self, name: str, machine_id: str) -> Any:
        source = RestorePointCollectionSourceProperties(id=machine_id)
        asked = _Collection(location=LOCATION, source=source)
        return self.compute.restore_point_collections.create_or_update(GROUP, name, asked)

    def restore_point(self, collection: str, name: str, mode: str | None = "CrashConsistent", **options: Any) -> Any:
        asked = _RestorePoint(consistency_mode=mode, **options)
        return self.compute.restore_points.begin_create(GROUP, collection, name, asked).result()

    def disk_access(self, collection: str, point: str, name: str) -> str:
        """The URL of a disk restore point."""
        asked = GrantAccessData(access="Read", duration_in_seconds=3600)
        operations = self.compute.disk_restore_point
        return str(operations.begin_grant_access(GROUP, collection, point, name, asked).result().access_sas)

    def close(self) -> None:
        for blob in self._blobs:
            blob.close()
        self.compute.close()
        self.credential.close()


@pytest.fixture
def cloud(running: Azurite, tmp_path: Path) -> Iterator[AzureCloud]:
    """A subscription of the test's own."""
    with AzureCloud(tmp_path / "cloud", Path(), azurite=running) as started:
        yield started


@pytest.fixture
def client(cloud: AzureCloud) -> Iterator[Client]:
    made = Client(cloud)
    yield made
    made.close()


def refused(error: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str | None]:
    """(status, code) of a refusal."""
    found = error.value
    return found.status_code, getattr(found, "error_code", None) or (found.error.code if found.error else None)
