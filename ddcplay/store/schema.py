"""Every table of the store, for SQLite and PostgreSQL alike; the migrations build exactly this.

One database may hold several experiments, so each row carries `experiment_id`. Times are UTC Unix seconds as
float. Columns that hold JSON say so.
"""

from __future__ import annotations

import sqlalchemy as sa

HEAD = "0004"  # the newest migration; compared before Alembic is imported, so that opening stays quick

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

experiment = sa.Table(
    "experiment",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("play", sa.Text, nullable=False),
    sa.Column("began_at", sa.Double, nullable=False),
)

playbook = sa.Table(
    "playbook",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),  # SHA-256 of the text
    sa.Column("text", sa.Text, nullable=False),
)

roster = sa.Table(  # who was asked what, in order; iterations share one row until inventory or play change
    "roster",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("hosts", sa.Text, nullable=False),  # JSON list
    sa.Column("probes", sa.Text, nullable=False),  # JSON list
)

host = sa.Table(
    "host",
    metadata,
    sa.Column("experiment_id", sa.ForeignKey("experiment.id"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("directory", sa.Text, nullable=False),
    sa.UniqueConstraint("experiment_id", "directory"),
)

iteration = sa.Table(
    "iteration",
    metadata,
    sa.Column("experiment_id", sa.ForeignKey("experiment.id"), primary_key=True),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("closed_at", sa.Double),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("pairs", sa.Integer, nullable=False),
    sa.Column("remote_s", sa.Double),
    sa.Column("missed", sa.Integer, nullable=False),
    sa.Column("trace_written", sa.Boolean, nullable=False),
    sa.Column("roster_digest", sa.ForeignKey("roster.digest"), nullable=False),
    sa.Column("playbook_digest", sa.ForeignKey("playbook.digest"), nullable=False),
    sa.Column("playbook_path", sa.Text, nullable=False),
    sa.Column("git_commit", sa.Text, nullable=False),
    sa.Column("git_dirty", sa.Boolean),
    sa.Column("versions", sa.Text, nullable=False),  # JSON object
)

attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("experiment_id", sa.Integer, primary_key=True, autoincrement=False),
    # Numbered per experiment by its only writer: no RETURNING, no sequence, the same in every dialect.
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("iteration", sa.BigInteger, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("probe", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("hint", sa.Text, nullable=False),
    sa.Column("was_on", sa.Boolean),  # AttemptResult.on; ON is a word of SQL
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("elapsed_s", sa.Double, nullable=False),
    sa.Column("timeout_s", sa.Double, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("exit_code", sa.BigInteger),  # unsigned 32 bits
    sa.Column("kill_verified", sa.Boolean),
    sa.Column("round_trips", sa.Integer, nullable=False),
    sa.Column("stdout_bytes", sa.BigInteger, nullable=False),
    sa.Column("stderr_bytes", sa.BigInteger, nullable=False),
    sa.Column("keep", sa.Text, nullable=False),
    sa.Column("chain", sa.Text, nullable=False),  # pending, done
    sa.Column("archived", sa.Boolean, nullable=False),  # its outputs are synced in the files, or not kept
    sa.Column("stdout_end", sa.BigInteger),
    sa.Column("stderr_end", sa.BigInteger),
    sa.ForeignKeyConstraint(["experiment_id", "iteration"], ["iteration.experiment_id", "iteration.id"]),
    sa.UniqueConstraint("experiment_id", "iteration", "host", "probe"),
    sqlite_with_rowid=False,  # half the space of a second B-tree for the key
)
sa.Index("ix_attempt_pair", attempt.c.experiment_id, attempt.c.host, attempt.c.probe, attempt.c.iteration)
# Only what still has work to do is in this one, so finding it after a crash costs nothing in a big database.
sa.Index(
    "ix_attempt_unfinished",
    attempt.c.experiment_id,
    attempt.c.id,
    sqlite_where=attempt.c.archived == sa.false(),
    postgresql_where=attempt.c.archived == sa.false(),
)

output = sa.Table(  # lives from commit 1 until the cumulative files hold it
    "output",
    metadata,
    sa.Column("experiment_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("stdout", sa.LargeBinary, nullable=False),
    sa.Column("stderr", sa.LargeBinary, nullable=False),
    sa.Column("stderr_text", sa.Text),
    sa.Column("data", sa.Text),  # JSON
    sa.ForeignKeyConstraint(
        ["experiment_id", "attempt_id"], ["attempt.experiment_id", "attempt.id"], ondelete="CASCADE"
    ),
)

archive_file = sa.Table(  # how far the files of a (host, probe) are known to be good
    "archive_file",
    metadata,
    sa.Column("experiment_id", sa.ForeignKey("experiment.id"), primary_key=True),
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("probe", sa.Text, primary_key=True),
    sa.Column("stdout_end", sa.BigInteger, nullable=False),
    sa.Column("stderr_end", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
)

debt = sa.Table(  # what is owed to a host: a probe of a single shot, or the removal of files left on it
    "debt",
    metadata,
    sa.Column("experiment_id", sa.ForeignKey("experiment.id"), primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),  # probe, cleanup
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("probe", sa.Text, primary_key=True),
    sa.Column("payload", sa.Text, nullable=False),  # JSON; {} for a probe
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),  # timeouts so far; three give a probe up
    sa.Column("last_reason", sa.Text),  # why the last attempt left it owed
    sa.Column("paid_at", sa.Double),
    sa.Column("paid_by", sa.Text),  # id of the attempt that paid it, or the command that did
    sa.Column("given_up_at", sa.Double),  # never together with paid_at
    sqlite_with_rowid=False,
)

credential = sa.Table(  # what the credential gate knows (design §9.3); keys and hashes are salted
    "credential",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("proven", sa.Boolean, nullable=False),
    sa.Column("refusals", sa.Integer, nullable=False),
    sa.Column("blocked_since", sa.Double),
    sa.Column("next_trial_at", sa.Double),
    sa.Column("secret_hash", sa.Text, nullable=False),
)

salt = sa.Table(
    "salt",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("value", sa.LargeBinary, nullable=False),
)

overridden = sa.Table(  # what an attempt was before its filter chain failed; `replay` starts from it
    "overridden",
    metadata,
    sa.Column("experiment_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("hint", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

sample = sa.Table(  # no foreign key: samples may be kept longer than their attempts
    "sample",
    metadata,
    sa.Column("experiment_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("label", sa.Text, primary_key=True),  # tells several `store` filters of one probe apart
    sa.Column("probe", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("iteration", sa.BigInteger, nullable=False),
    sa.Column("at", sa.Double, nullable=False),  # start of the attempt
    sa.Column("data", sa.Text, nullable=False),  # JSON
    sa.Column("key", sa.Text, nullable=False),  # JSON: a field's name, or field → key field
)
sa.Index("ix_sample_pair", sample.c.experiment_id, sample.c.probe, sample.c.host, sample.c.iteration)

static = sa.Table(
    "static",
    metadata,
    sa.Column("experiment_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("valid_from", sa.Double, primary_key=True),
    sa.Column("valid_to", sa.Double),  # null: it holds now
    sa.Column("value", sa.Text, nullable=False),  # JSON
    sa.Column("probe", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

filter_state = sa.Table(
    "filter_state",
    metadata,
    sa.Column("experiment_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("host", sa.Text, primary_key=True),  # empty: state of `iteration_end`
    sa.Column("probe", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),  # JSON
    sqlite_with_rowid=False,
)

alert = sa.Table(  # as it stands; one that was never more than good has no row
    "alert",
    metadata,
    sa.Column("experiment_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, primary_key=True),  # empty: about the pool
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),  # ok, pending, firing
    sa.Column("fired_at", sa.Double),
    sa.Column("acknowledged", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # JSON: every field of the machine's state
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("runbook", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("probe", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

event = sa.Table(  # what is to be told in a digest, and has been
    "event",
    metadata,
    sa.Column("experiment_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("iteration", sa.BigInteger, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # alert, item
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("probe", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),  # JSON
    sa.Column(
        "told_by", sa.BigInteger
    ),  # id of the notification; 0: told, though there was nobody to mail to
    sqlite_with_rowid=False,
)
sa.Index(
    "ix_event_untold",
    event.c.experiment_id,
    event.c.id,
    sqlite_where=event.c.told_by.is_(None),
    postgresql_where=event.c.told_by.is_(None),
)

notification = sa.Table(  # the outbox; what is neither sent nor given up waits
    "notification",
    metadata,
    sa.Column("experiment_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),  # mail, push
    sa.Column("message_id", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),  # emptied once it is sent
    sa.Column("recipients", sa.Text, nullable=False),  # JSON list
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("next_try_at", sa.Double, nullable=False),
    sa.Column("sent_at", sa.Double),
    sa.Column("given_up_at", sa.Double),
    sa.Column("last_error", sa.Text, nullable=False),
    sa.UniqueConstraint("experiment_id", "message_id"),
)
_WAITING = sa.and_(notification.c.sent_at.is_(None), notification.c.given_up_at.is_(None))
sa.Index(
    "ix_notification_waiting",
    notification.c.experiment_id,
    notification.c.id,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)

silence = sa.Table(  # written by the command line alone, also while a coordinator runs
    "silence",
    metadata,
    sa.Column("experiment_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("matchers", sa.Text, nullable=False),  # JSON list of [name, glob]
    sa.Column("starts_at", sa.Double, nullable=False),
    sa.Column("ends_at", sa.Double, nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

acknowledgement = sa.Table(  # written by the command line alone, also while a coordinator runs
    "acknowledgement",
    metadata,
    sa.Column("experiment_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("acknowledged_by", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

seen = sa.Table(  # kept with commit 1, so that `absent` need not read the history
    "seen",
    metadata,
    sa.Column("experiment_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("since", sa.Double, nullable=False),  # first asked
    sa.Column("last_on", sa.Double),
    sqlite_with_rowid=False,
)

report = sa.Table(
    "report",
    metadata,
    sa.Column("experiment_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("iteration", sa.BigInteger, primary_key=True, autoincrement=False),  # up to which it reaches
    sa.Column("made_at", sa.Double, nullable=False),
    sqlite_with_rowid=False,
)

coordinator = sa.Table(  # by name: it is claimed before the experiment has a row
    "coordinator",
    metadata,
    sa.Column("experiment", sa.Text, primary_key=True),
    sa.Column("token", sa.Text, nullable=False),  # of one opening; tells a lost connection from a successor
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.BigInteger, nullable=False),
    sa.Column("since", sa.Double, nullable=False),
    sqlite_with_rowid=False,
)
