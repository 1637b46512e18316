"""Where a job's images have gone beside their own region and account, so that it can be undone.

Each fact is written before AWS is asked to make it true, and removed after it no longer is: what a crash leaves is known.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database
from rehost.control._tables import copy_regions, grants, shares


class Spreading:
    def __init__(self, database: Database) -> None:
        self._db = database

    def touch(self, job_id: str, region: str) -> None:
        """A region holds something of the job."""
        self._note(copy_regions, job_id=job_id, region=region)

    def regions(self, job_id: str) -> list[str]:
        with self._db.read() as connection:
            query = sa.select(copy_regions.c.region).where(copy_regions.c.job_id == job_id)
            return sorted(connection.execute(query).scalars())

    def share(self, image_id: str, account: str) -> None:
        """An image (and its copies) can be used by an account."""
        self._note(shares, image_id=image_id, account=account)

    def unshare(self, image_id: str, account: str) -> None:
        self._forget(shares, image_id=image_id, account=account)

    def accounts(self, image_id: str) -> set[str]:
        with self._db.read() as connection:
            return set(connection.execute(sa.select(shares.c.account).where(shares.c.image_id == image_id)).scalars())

    def grant(self, job_id: str, region: str, key_arn: str, account: str) -> None:
        """A key can be used by an account, for the job's images."""
        self._note(grants, job_id=job_id, region=region, key_arn=key_arn, account=account)

    def ungrant(self, job_id: str, region: str, key_arn: str, account: str) -> None:
        self._forget(grants, job_id=job_id, region=region, key_arn=key_arn, account=account)

    def grants(self, job_id: str) -> set[tuple[str, str, str]]:
        """(region, key, account) of each."""
        query = sa.select(grants.c.region, grants.c.key_arn, grants.c.account).where(grants.c.job_id == job_id)
        with self._db.read() as connection:
            return {(row.region, row.key_arn, row.account) for row in connection.execute(query)}

    def _note(self, table: sa.Table, **values: Any) -> None:
        with self._db.write() as connection:
            known = sa.select(sa.literal(1)).select_from(table).filter_by(**values)
            if connection.execute(known).first() is None:
                connection.execute(sa.insert(table).values(**values))

    def _forget(self, table: sa.Table, **values: Any) -> None:
        with self._db.write() as connection:
            connection.execute(sa.delete(table).filter_by(**values))
