"""Images: what runs made, who holds on to which, and what is gone."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database
from rehost.control._errors import Unknown
from rehost.control._records import Image, Json
from rehost.control._tables import images, jobs, pins


class Images:
    def __init__(self, database: Database) -> None:
        self._db = database

    def find(self, image_id: str) -> Image | None:
        with self._db.read() as connection:
            row = connection.execute(sa.select(images).where(images.c.image_id == image_id)).one_or_none()
        return image_of(row) if row else None

    def by_run(self, run_id: str) -> Image | None:
        with self._db.read() as connection:
            row = connection.execute(sa.select(images).where(images.c.run_id == run_id)).one_or_none()
        return image_of(row) if row else None

    def list(self, job_id: str) -> list[Image]:
        """Those that still exist, newest first."""
        query = (
            sa.select(images)
            .where(images.c.job_id == job_id, images.c.deleted_at.is_(None))
            .order_by(images.c.created_at.desc(), images.c.run_id.desc())
        )
        with self._db.read() as connection:
            return [image_of(row) for row in connection.execute(query)]

    def pin(self, image_id: str, holder: str) -> None:
        """Keep retention away from an image. Pinning twice is harmless. Raises `Unknown` for one that is gone."""
        with self._db.write() as connection:
            standing = sa.select(images.c.image_id).where(images.c.image_id == image_id, images.c.deleted_at.is_(None))
            if connection.execute(standing).one_or_none() is None:
                raise Unknown(kind="image", id=image_id)
            held = sa.select(pins).where(pins.c.image_id == image_id, pins.c.holder == holder)
            if connection.execute(held).one_or_none() is None:
                connection.execute(sa.insert(pins).values(image_id=image_id, holder=holder))

    def unpin(self, image_id: str, holder: str) -> None:
        with self._db.write() as connection:
            connection.execute(sa.delete(pins).where(pins.c.image_id == image_id, pins.c.holder == holder))

    def pinned(self, job_id: str) -> set[str]:
        query = (
            sa.select(pins.c.image_id)
            .join(images, images.c.image_id == pins.c.image_id)
            .where(images.c.job_id == job_id)
        )
        with self._db.read() as connection:
            return set(connection.execute(query).scalars())

    def set_copies(self, image_id: str, copies: Json) -> None:
        """Record the copies that an image has in further regions: region -> {image_id, snapshot_ids}."""
        with self._db.write() as connection:
            connection.execute(sa.update(images).where(images.c.image_id == image_id).values(copies=dict(copies)))

    def gone(self, image_id: str) -> None:
        """Record that AWS has it no longer. The job's latest image is then the newest that is left."""
        with self._db.write() as connection:
            job_id = connection.execute(
                sa.update(images)
                .where(images.c.image_id == image_id, images.c.deleted_at.is_(None))
                .values(deleted_at=self._db.now())
                .returning(images.c.job_id)
            ).scalar_one_or_none()
            if job_id is None:
                return
            connection.execute(sa.delete(pins).where(pins.c.image_id == image_id))
            newest = (
                sa.select(images.c.image_id)
                .where(images.c.job_id == job_id, images.c.deleted_at.is_(None))
                .order_by(images.c.created_at.desc(), images.c.run_id.desc())
                .limit(1)
                .scalar_subquery()
            )
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(latest_image_id=newest))


def image_of(row: Any) -> Image:
    return Image(
        row.image_id, row.job_id, row.run_id, tuple(row.snapshot_ids), row.created_at, row.deleted_at, row.copies
    )
