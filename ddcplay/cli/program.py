"""All commands in one typer program."""

from __future__ import annotations

from typing import Annotated

import typer

from ddcplay import __version__
from ddcplay.cli import (
    alerts,
    attempts,
    clean,
    export,
    inspect,
    lab,
    mail,
    operate,
    prune,
    replay,
    report,
    results,
    run,
    simulate,
)

_HELP = """\

Collect data from fleets of Windows PCs that come and go, over WinRM.

A playbook says what to ask (probes), whom (an Ansible pattern) and how often.

\b
Start with:
  ddcplay demo                    a simulated fleet, no Windows PC needed
  ddcplay check labs.yml          is the playbook right?
  ddcplay run labs.yml            run it
"""


def build_program() -> typer.Typer:
    """Return the program with every command of this version."""
    program = typer.Typer(
        name="ddcplay",
        help=_HELP,
        no_args_is_help=True,
        # Tracebacks are ours (cli/guard.py): typer's would print local variables, secrets among them.
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.callback()(_program)
    program.command("run")(run.run_command)
    program.command("plan")(inspect.plan_command)
    program.command("check")(inspect.check_command)
    program.command("ping")(inspect.ping_command)
    program.command("probe")(inspect.probe_command)
    program.add_typer(inspect.inventory_program(), name="inventory")
    program.command("status")(operate.status_command)
    program.command("trace")(results.trace_command)
    program.command("results")(attempts.results_command)
    program.command("export")(export.export_command)
    program.command("report")(report.report_command)
    program.add_typer(alerts.alerts_program(), name="alerts")
    program.command("clean")(clean.clean_command)
    program.command("prune")(prune.prune_command)
    program.command("replay")(replay.replay_command)
    program.command("simulate")(simulate.simulate_command)
    program.add_typer(mail.mail_program(), name="mail")
    program.add_typer(lab.lab_program(), name="lab")
    program.command("demo")(lab.demo_command)
    return program


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ddcplay {__version__}")
        raise typer.Exit


def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""
