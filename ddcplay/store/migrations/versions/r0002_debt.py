"""Debts: what is owed to a host until it is paid or given up (single shot, cleanup of files left behind)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "debt",
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("probe", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("last_reason", sa.Text()),
        sa.Column("paid_at", sa.Double()),
        sa.Column("paid_by", sa.Text()),
        sa.Column("given_up_at", sa.Double()),
        sa.PrimaryKeyConstraint("experiment_id", "kind", "host", "probe", name="pk_debt"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiment.id"], name="fk_debt_experiment_id"),
        sqlite_with_rowid=False,
    )
