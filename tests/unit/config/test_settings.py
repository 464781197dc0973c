"""Settings: where they come from, which one wins, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddcplay.config.settings import Retention, Settings, Smtp, load_settings
from ddcplay.errors import ConfigError, UsageError
from ddcplay.model.inventory import SecretRef

BAD = Path(__file__).parents[2] / "data" / "invalid" / "settings"
FULL = """
data_dir: store
inventory: inventories/prod
database: env:DATABASE_URL
executor: inline
workers: 64
network_check: [10.0.0.1, dns.example.edu]
auth_breaker: 3
auth_retry: 30m
ramp: 20/s
retention: {archive: 10d, attempts: 20d, samples: 30d}
max_backlog: 500
durability: batch
filter_timeout: 10s
heartbeat: https://beat.example.edu/abc123
smtp:
  host: mail.example.edu
  port: 25
  from: ddcplay@example.edu
  username: ddcplay
  password: file:secrets/mail
  starttls: false
"""


def project(tmp_path: Path, text: str = "") -> Path:
    (tmp_path / "ddcplay.yml").write_text(text, encoding="utf-8")
    return tmp_path


def test_without_a_file_the_project_is_where_the_user_stands(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}, {}) == Settings(project_root=tmp_path, data_dir=tmp_path / "data")


def test_every_setting_of_the_file_arrives(tmp_path: Path) -> None:
    root = project(tmp_path, FULL)
    assert load_settings(root, {}, {}) == Settings(
        project_root=root,
        data_dir=root / "store",
        inventory=str(root / "inventories" / "prod"),
        database=SecretRef("env", "DATABASE_URL"),
        executor="inline",
        workers=64,
        network_check=("10.0.0.1", "dns.example.edu"),
        auth_breaker=3,
        auth_retry_s=1800.0,
        ramp_per_s=20.0,
        retention=Retention(10 * 86400.0, 20 * 86400.0, 30 * 86400.0),
        max_backlog=500,
        durability="batch",
        filter_timeout_s=10.0,
        heartbeat=SecretRef("plain", "https://beat.example.edu/abc123"),
        smtp=Smtp(
            "mail.example.edu",
            "ddcplay@example.edu",
            25,
            "ddcplay",
            SecretRef("file", "secrets/mail"),
            starttls=False,
        ),
    )


def test_the_nearest_file_upwards_is_the_project(tmp_path: Path) -> None:
    project(tmp_path)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert load_settings(inner, {}, {}).project_root == tmp_path
    project(tmp_path / "a")
    assert load_settings(inner, {}, {}).project_root == tmp_path / "a"


def test_the_directory_of_a_flag_wins_over_the_search(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "other").mkdir()
    assert load_settings(tmp_path, {}, {"project_root": Path("other")}).project_root == tmp_path / "other"
    with pytest.raises(UsageError, match="no such directory"):
        load_settings(tmp_path, {}, {"project_root": "missing"})


def test_environment_wins_over_the_file_and_flags_over_both(tmp_path: Path) -> None:
    root = project(tmp_path, "workers: 1\nexecutor: a\nramp: 1/s\nretention: {archive: 1d, samples: 2d}\n")
    environ = {"DDCPLAY_WORKERS": "2", "DDCPLAY_EXECUTOR": "b", "DDCPLAY_RETENTION_SAMPLES": "3d"}
    found = load_settings(root, environ, {"workers": 3, "executor": None})
    assert (found.workers, found.executor, found.ramp_per_s) == (3, "b", 1.0)
    assert found.retention == Retention(archive_s=86400.0, samples_s=3 * 86400.0)
    assert type(found.executor) is str


def test_relative_paths_start_at_the_project_those_of_flags_where_the_user_stands(tmp_path: Path) -> None:
    root = project(tmp_path, "data_dir: store\ninventory: hosts.ini\n")
    inner = root / "inner"
    inner.mkdir()
    assert load_settings(inner, {}, {}).data_dir == root / "store"
    assert load_settings(inner, {"DDCPLAY_DATA_DIR": "env"}, {}).data_dir == root / "env"
    assert load_settings(inner, {}, {"data_dir": Path("flag")}).data_dir == inner / "flag"
    assert load_settings(inner, {}, {"inventory": "x.ini"}).inventory == str(inner / "x.ini")
    assert load_settings(inner, {}, {"inventory": "pc1,"}).inventory == "pc1,"


def test_a_secret_in_a_variable_stays_a_reference_to_that_variable(tmp_path: Path) -> None:
    environ = {"DDCPLAY_SMTP_PASSWORD": "hunter22", "DDCPLAY_SMTP_HOST": "mail", "DDCPLAY_SMTP_FROM": "a@b"}
    found = load_settings(tmp_path, environ, {})
    assert found.smtp == Smtp("mail", "a@b", password=SecretRef("env", "DDCPLAY_SMTP_PASSWORD"))
    environ["DDCPLAY_SMTP_PASSWORD"] = "keyring:mail/it"
    found = load_settings(tmp_path, environ, {})
    assert found.smtp is not None
    assert found.smtp.password == SecretRef("keyring", "mail/it")


def test_no_secret_shows_in_the_repr(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        "heartbeat: https://beat/hunter22\ndatabase: postgresql://u:hunter22@h/d\n"
        "smtp: {host: h, from: a@b, password: plain:hunter22}\n",
    )
    found = load_settings(root, {}, {})
    assert found.database == SecretRef("plain", "postgresql://u:hunter22@h/d")
    assert "hunter22" not in repr(found)


@pytest.mark.parametrize("written", ["http://beat:80/x", "plain:http://beat:80/x"])
def test_a_heartbeat_is_an_address_with_or_without_plain_before_it(tmp_path: Path, written: str) -> None:
    found = load_settings(project(tmp_path, f"heartbeat: {written}\n"), {}, {})
    assert found.heartbeat == SecretRef("plain", "http://beat:80/x")


def test_a_database_without_a_password_is_plain_text(tmp_path: Path) -> None:
    root = project(tmp_path, "database: postgresql://u@h/d\n")
    assert load_settings(root, {}, {}).database == "postgresql://u@h/d"


@pytest.mark.parametrize(("text", "rate"), [("50/s", 50.0), ("30/m", 0.5), ("0.5 / s", 0.5), ("7", 7.0)])
def test_a_rate_is_a_number_per_time(tmp_path: Path, text: str, rate: float) -> None:
    assert load_settings(project(tmp_path, f"ramp: {text}\n"), {}, {}).ramp_per_s == rate


def test_a_variable_that_is_nearly_a_setting_is_refused_and_others_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean DDCPLAY_DATA_DIR"):
        load_settings(tmp_path, {"DDCPLAY_DATADIR": "x"}, {})
    load_settings(tmp_path, {"DDCPLAY_LAB_PASSWORD": "x", "DDCPLAY_WORKERS": ""}, {})


def test_wrong_variables_and_flags_are_named_as_the_user_wrote_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path, {"DDCPLAY_SMTP_PORT": "x"}, {"workers": 0, "filter_timeout": "x"})
    places = sorted(str(problem.place) for problem in caught.value.problems)
    assert places == ["--filter-timeout", "--workers", "DDCPLAY_SMTP_PORT"]


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yml")), ids=lambda path: path.stem)
def test_a_bad_settings_file_is_refused_with_exactly_this_message(tmp_path: Path, path: Path) -> None:
    shutil.copy(path, tmp_path / "ddcplay.yml")
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path, {}, {})
    shown = str(caught.value).replace(str(tmp_path / "ddcplay.yml"), path.name)
    assert shown == path.with_suffix(".txt").read_text(encoding="utf-8").rstrip("\n")
    assert "hunter22" not in shown
    assert "12345678" not in shown


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(max_size=60),
    environ=st.dictionaries(
        st.sampled_from(
            ["DDCPLAY_WORKERS", "DDCPLAY_DATABASE", "DDCPLAY_RAMP", "DDCPLAY_SMTP_PASSWORD", "DDCPLAY_X"]
        ),
        st.text(max_size=10),
    ),
)
def test_arbitrary_settings_are_read_or_refused(tmp_path: Path, text: str, environ: dict[str, str]) -> None:
    (tmp_path / "ddcplay.yml").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load_settings(tmp_path, environ, {})
    except ConfigError as error:
        refused = error
    else:
        return
    assert refused.problems


@pytest.mark.parametrize(
    ("written", "encryption"),
    [
        ("", "starttls"),
        (", starttls: false", "none"),
        (", port: 465", "implicit"),
        (", port: 465, tls: starttls", "starttls"),
        (", port: 2525, tls: implicit", "implicit"),
        (", tls: none", "none"),
    ],
)
def test_a_mail_server_is_spoken_to_in_the_way_that_is_written(
    tmp_path: Path, written: str, encryption: str
) -> None:
    found = load_settings(project(tmp_path, f"smtp: {{host: mail, from: a@b{written}}}\n"), {}, {}).smtp
    assert found is not None
    assert found.encryption == encryption


def test_certificates_of_the_mail_server_start_at_the_project(tmp_path: Path) -> None:
    text = "smtp: {host: mail, from: a@b, ca_trust_path: keys/ca.pem, verify: false, timeout: 5s}\n"
    found = load_settings(project(tmp_path, text), {}, {}).smtp
    assert found is not None
    assert found.ca_trust_path == str(tmp_path / "keys" / "ca.pem")
    assert (found.verify, found.timeout_s) == (False, 5.0)
