"""What filters and alerts keep: samples, static facts, states, alerts with their events, the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _create_overridden()
    _create_sample()
    _create_static()
    _create_filter_state()
    _create_alert()
    _create_event()
    _create_notification()
    _create_silence()
    _create_acknowledgement()
    _create_seen()
    _create_report()
    _create_indexes()
    op.execute(_SEEN)


_SEEN = """
INSERT INTO seen (experiment_id, host, since, last_on)
SELECT host.experiment_id, host.name, COALESCE(MIN(attempt.started_at), MIN(experiment.began_at)),
       MAX(CASE WHEN attempt.was_on OR attempt.outcome = 'ok' THEN attempt.started_at END)
FROM host
JOIN experiment ON experiment.id = host.experiment_id
LEFT JOIN attempt ON attempt.experiment_id = host.experiment_id AND attempt.host = host.name
GROUP BY host.experiment_id, host.name
"""


def _create_indexes() -> None:
    op.create_index("ix_sample_pair", "sample", ["experiment_id", "probe", "host", "iteration"])
    untold = sa.column("told_by").is_(None)
    op.create_index(
        "ix_event_untold", "event", ["experiment_id", "id"], sqlite_where=untold, postgresql_where=untold
    )
    waiting = sa.and_(sa.column("sent_at").is_(None), sa.column("given_up_at").is_(None))
    op.create_index(
        "ix_notification_waiting",
        "notification",
        ["experiment_id", "id"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )


def _create_overridden() -> None:
    op.create_table(
        "overridden",
        sa.Column("experiment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "attempt_id", name="pk_overridden"),
        sqlite_with_rowid=False,
    )


def _create_sample() -> None:
    op.create_table(
        "sample",
        sa.Column("experiment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("probe", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("iteration", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "attempt", "label", name="pk_sample"),
    )


def _create_static() -> None:
    op.create_table(
        "static",
        sa.Column("experiment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Double(), nullable=False),
        sa.Column("valid_to", sa.Double()),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("probe", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "host", "field", "valid_from", name="pk_static"),
        sqlite_with_rowid=False,
    )


def _create_filter_state() -> None:
    op.create_table(
        "filter_state",
        sa.Column("experiment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("probe", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "host", "probe", "label", name="pk_filter_state"),
        sqlite_with_rowid=False,
    )


def _create_alert() -> None:
    op.create_table(
        "alert",
        sa.Column("experiment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("fired_at", sa.Double()),
        sa.Column("acknowledged", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("runbook", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("probe", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "name", "host", "key", name="pk_alert"),
        sqlite_with_rowid=False,
    )


def _create_event() -> None:
    op.create_table(
        "event",
        sa.Column("experiment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("iteration", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("probe", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("told_by", sa.BigInteger()),
        sa.PrimaryKeyConstraint("experiment_id", "id", name="pk_event"),
        sqlite_with_rowid=False,
    )


def _create_notification() -> None:
    op.create_table(
        "notification",
        sa.Column("experiment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("recipients", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.Double(), nullable=False),
        sa.Column("sent_at", sa.Double()),
        sa.Column("given_up_at", sa.Double()),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "id", name="pk_notification"),
        sa.UniqueConstraint("experiment_id", "message_id", name="uq_notification_experiment_id_message_id"),
    )


def _create_silence() -> None:
    op.create_table(
        "silence",
        sa.Column("experiment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("matchers", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.Double(), nullable=False),
        sa.Column("ends_at", sa.Double(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "id", name="pk_silence"),
        sqlite_with_rowid=False,
    )


def _create_acknowledgement() -> None:
    op.create_table(
        "acknowledgement",
        sa.Column("experiment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("acknowledged_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "name", "host", "key", name="pk_acknowledgement"),
        sqlite_with_rowid=False,
    )


def _create_seen() -> None:
    op.create_table(
        "seen",
        sa.Column("experiment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("last_on", sa.Double()),
        sa.PrimaryKeyConstraint("experiment_id", "host", name="pk_seen"),
        sqlite_with_rowid=False,
    )


def _create_report() -> None:
    op.create_table(
        "report",
        sa.Column("experiment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("iteration", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "iteration", name="pk_report"),
        sqlite_with_rowid=False,
    )
