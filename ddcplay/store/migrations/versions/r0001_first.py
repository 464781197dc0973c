"""First schema: experiments, iterations, attempts with their outputs, the archive's ends, credentials."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "experiment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("play", sa.Text(), nullable=False),
        sa.Column("began_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_experiment"),
        sa.UniqueConstraint("name", name="uq_experiment_name"),
    )
    op.create_table(
        "playbook",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_playbook"),
    )
    op.create_table(
        "roster",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("hosts", sa.Text(), nullable=False),
        sa.Column("probes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_roster"),
    )
    op.create_table(
        "host",
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "name", name="pk_host"),
        sa.UniqueConstraint("experiment_id", "directory", name="uq_host_experiment_id_directory"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiment.id"], name="fk_host_experiment_id"),
    )
    _create_iteration()
    _create_attempt()
    op.create_table(
        "archive_file",
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("probe", sa.Text(), nullable=False),
        sa.Column("stdout_end", sa.BigInteger(), nullable=False),
        sa.Column("stderr_end", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "host", "probe", name="pk_archive_file"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiment.id"], name="fk_archive_file_experiment_id"),
    )
    op.create_table(
        "credential",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("proven", sa.Boolean(), nullable=False),
        sa.Column("refusals", sa.Integer(), nullable=False),
        sa.Column("blocked_since", sa.Double()),
        sa.Column("next_trial_at", sa.Double()),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_credential"),
    )
    op.create_table(
        "salt",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_salt"),
    )


def _create_iteration() -> None:
    op.create_table(
        "iteration",
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("closed_at", sa.Double()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("pairs", sa.Integer(), nullable=False),
        sa.Column("remote_s", sa.Double()),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.Column("trace_written", sa.Boolean(), nullable=False),
        sa.Column("roster_digest", sa.Text(), nullable=False),
        sa.Column("playbook_digest", sa.Text(), nullable=False),
        sa.Column("playbook_path", sa.Text(), nullable=False),
        sa.Column("git_commit", sa.Text(), nullable=False),
        sa.Column("git_dirty", sa.Boolean()),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "id", name="pk_iteration"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiment.id"], name="fk_iteration_experiment_id"),
        sa.ForeignKeyConstraint(["roster_digest"], ["roster.digest"], name="fk_iteration_roster_digest"),
        sa.ForeignKeyConstraint(["playbook_digest"], ["playbook.digest"], name="fk_iteration_playbook_digest"),
    )


def _create_attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("experiment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("iteration", sa.BigInteger(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("probe", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("was_on", sa.Boolean()),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("elapsed_s", sa.Double(), nullable=False),
        sa.Column("timeout_s", sa.Double(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("exit_code", sa.BigInteger()),
        sa.Column("kill_verified", sa.Boolean()),
        sa.Column("round_trips", sa.Integer(), nullable=False),
        sa.Column("stdout_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stderr_bytes", sa.BigInteger(), nullable=False),
        sa.Column("keep", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("stdout_end", sa.BigInteger()),
        sa.Column("stderr_end", sa.BigInteger()),
        sa.PrimaryKeyConstraint("experiment_id", "id", name="pk_attempt"),
        sa.ForeignKeyConstraint(
            ["experiment_id", "iteration"],
            ["iteration.experiment_id", "iteration.id"],
            name="fk_attempt_experiment_id_iteration",
        ),
        sa.UniqueConstraint(
            "experiment_id", "iteration", "host", "probe", name="uq_attempt_experiment_id_iteration_host_probe"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_attempt_pair", "attempt", ["experiment_id", "host", "probe", "iteration"])
    unfinished = sa.column("archived", sa.Boolean) == sa.false()
    op.create_index(
        "ix_attempt_unfinished",
        "attempt",
        ["experiment_id", "id"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
    op.create_table(
        "output",
        sa.Column("experiment_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stdout", sa.LargeBinary(), nullable=False),
        sa.Column("stderr", sa.LargeBinary(), nullable=False),
        sa.Column("stderr_text", sa.Text()),
        sa.Column("data", sa.Text()),
        sa.PrimaryKeyConstraint("experiment_id", "attempt_id", name="pk_output"),
        sa.ForeignKeyConstraint(
            ["experiment_id", "attempt_id"],
            ["attempt.experiment_id", "attempt.id"],
            name="fk_output_experiment_id_attempt_id",
            ondelete="CASCADE",
        ),
    )
