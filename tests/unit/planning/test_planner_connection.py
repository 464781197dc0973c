from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.errors import ConfigError
from ddcplay.model.inventory import Host, SecretRef
from ddcplay.model.plan import Target
from ddcplay.planning.connection import build_target, ignored_warnings
from ddcplay.planning.connection_names import FIELDS
from ddcplay.templating.environment import Scope


def target(name: str = "pc1", **variables: object) -> Target:
    host = Host(name, (), variables)
    return build_target(host, variables, lambda key, _: Scope([variables]).value(key))


def problems(**variables: object) -> str:
    with pytest.raises(ConfigError) as caught:
        target(**variables)
    return str(caught.value)


def test_nothing_written_assumes_nothing() -> None:
    assert target() == Target(host="pc1", address="pc1")
    assert target().ports() == (5986, 5985)


@pytest.mark.parametrize(
    ("variables", "scheme", "ports"),
    [
        ({"ansible_port": 5986}, "https", (5986,)),
        ({"ansible_port": 5985}, "http", (5985,)),
        ({"ansible_port": "5985"}, "http", (5985,)),
        ({"ansible_port": 15986}, "https", (15986,)),
        ({"ansible_port": 15985, "ansible_winrm_scheme": "http"}, "http", (15985,)),
        ({"ansible_winrm_scheme": "HTTP"}, "http", (5985,)),
        ({"ansible_winrm_scheme": "https"}, "https", (5986,)),
        ({"ansible_connection": "psrp", "ansible_psrp_protocol": "http"}, "http", (5985,)),
    ],
)
def test_scheme_follows_the_port_and_ports_follow_the_scheme(
    variables: Mapping[str, object], scheme: str, ports: tuple[int, ...]
) -> None:
    made = target(**variables)
    assert (made.scheme, made.ports()) == (scheme, ports)


def test_every_winrm_variable_reaches_its_field() -> None:
    made = target(
        ansible_host="10.0.0.1",
        ansible_user="CORP\\svc",
        ansible_password=SecretRef("env", "PW"),
        ansible_connection="ansible.builtin.winrm",
        ansible_winrm_transport="kerberos,ntlm",
        ansible_winrm_scheme="https",
        ansible_winrm_path="/custom",
        ansible_winrm_server_cert_validation="ignore",
        ansible_winrm_ca_trust_path="/ca.pem",
        ansible_winrm_cert_pem="/c.pem",
        ansible_winrm_cert_key_pem="/k.pem",
        ansible_winrm_message_encryption="always",
        ansible_winrm_send_cbt="no",
        ansible_winrm_read_timeout_sec=70,
        ansible_winrm_operation_timeout_sec="60",
        ansible_winrm_kerberos_hostname_override="pc1.corp",
        ansible_winrm_kerberos_delegation="yes",
        ansible_winrm_service="WSMAN",
        ansible_winrm_proxy="http://proxy:3128",
    )
    assert made == Target(
        host="pc1",
        address="10.0.0.1",
        user="CORP\\svc",
        password=SecretRef("env", "PW"),
        scheme="https",
        path="custom",
        cert_validation=False,
        ca_trust_path="/ca.pem",
        cert_pem="/c.pem",
        cert_key_pem="/k.pem",
        message_encryption="always",
        send_cbt=False,
        read_timeout_s=70.0,
        operation_timeout_s=60.0,
        kerberos_hostname_override="pc1.corp",
        kerberos_delegation=True,
        service="WSMAN",
        proxy="http://proxy:3128",
    )


def test_psrp_names_mean_the_same() -> None:
    made = target(
        ansible_connection="psrp",
        ansible_psrp_protocol="https",
        ansible_psrp_auth="certificate",
        ansible_psrp_cert_validation="ignore",
        ansible_psrp_ca_cert="/ca.pem",
        ansible_psrp_certificate_pem="/c.pem",
        ansible_psrp_certificate_key_pem="/k.pem",
        ansible_psrp_message_encryption="never",
        ansible_psrp_negotiate_send_cbt=False,
        ansible_psrp_negotiate_service="HOST",
        ansible_psrp_operation_timeout=30,
    )
    assert made.connection == "psrp"
    assert made.auth == ("certificate",)
    assert (made.cert_validation, made.send_cbt, made.service) == (False, False, "HOST")
    assert (made.operation_timeout_s, made.read_timeout_s) == (30.0, 40.0)


def test_names_of_the_other_connection_are_not_read() -> None:
    assert target(ansible_psrp_cert_validation="ignore").cert_validation
    assert target(ansible_connection="psrp", ansible_winrm_pass="pw-of-both").password is not None


@pytest.mark.parametrize(
    ("variables", "field", "value"),
    [
        ({"ansible_ssh_host": "a"}, "address", "a"),
        ({"ansible_ssh_host": "a", "ansible_host": "b"}, "address", "b"),
        ({"ansible_host": "b", "ansible_winrm_host": "c"}, "address", "c"),
        ({"ansible_ssh_user": "a"}, "user", "a"),
        ({"ansible_winrm_user": "c", "ansible_user": "b"}, "user", "c"),
        ({"ansible_ssh_port": 5985}, "port", 5985),
        ({"ansible_winrm_port": 5985, "ansible_port": 22}, "port", 5985),
        ({"ansible_ssh_pass": "p"}, "password", SecretRef("plain", "p")),
        ({"ansible_winrm_pass": "env:X", "ansible_password": "p"}, "password", SecretRef("env", "X")),
        ({"ansible_password": 1234}, "password", SecretRef("plain", "1234")),
        ({"ansible_password": "{{ lookup('env', 'X') }}"}, "password", SecretRef("env", "X")),
        (
            {"ansible_password": SecretRef("template", "{{ pw }}"), "pw": "x"},
            "password",
            SecretRef("plain", "x"),
        ),
        ({"ansible_password": None}, "password", None),
        ({"ansible_user": "u", "ansible_winrm_realm": "CORP"}, "user", "u@CORP"),
        ({"ansible_user": "u@A", "ansible_winrm_realm": "CORP"}, "user", "u@A"),
        ({"ansible_user": "{{ dom }}\\u", "dom": "CORP"}, "user", "CORP\\u"),
        ({"ansible_host": "[::1]"}, "address", "::1"),
        ({"ansible_host": "fe80::1%eth0"}, "address", "fe80::1%eth0"),
        ({"ansible_winrm_connection_timeout": 50}, "operation_timeout_s", 50.0),
        ({"ansible_winrm_connection_timeout": 50}, "read_timeout_s", 60.0),
        ({"ansible_winrm_transport": ["ntlm"]}, "auth", ("ntlm",)),
        ({"ansible_winrm_transport": "negotiate"}, "auth", ()),
        ({"ansible_winrm_transport": "ssl"}, "auth", ("basic",)),
        ({"ansible_winrm_proxy": "legacy_requests"}, "proxy", None),
    ],
)
def test_aliases_and_forms(variables: Mapping[str, object], field: str, value: object) -> None:
    assert getattr(target(**variables), field) == value


@pytest.mark.parametrize("transport", ["basic", "plaintext", ["ntlm", "basic"]])
def test_basic_in_clear_is_refused_unless_it_is_written(transport: object) -> None:
    clear = {"ansible_winrm_transport": transport, "ansible_port": 5985}
    told = problems(**clear)
    assert "would send the password in clear" in told
    assert "ansible_winrm_message_encryption: never" in told
    assert target(**clear, ansible_winrm_message_encryption="never").scheme == "http"


def test_basic_without_port_goes_to_https_only() -> None:
    assert target(ansible_winrm_transport="basic").ports() == (5986,)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"ansible_connection": "ssh"}, "not there yet"),
        ({"ansible_connection": "local"}, "not there yet"),
        ({"ansible_connection": "winrn"}, "known: winrm, psrp, ssh, local"),
        ({"ansible_port": 0}, "1 to 65535"),
        ({"ansible_port": 70000}, "1 to 65535"),
        ({"ansible_port": True}, "no port number"),
        ({"ansible_winrm_scheme": "htps"}, "did you mean 'https'?"),
        ({"ansible_winrm_transport": "kerebros"}, "did you mean 'kerberos'?"),
        ({"ansible_winrm_server_cert_validation": "no"}, "validate, ignore"),
        ({"ansible_winrm_send_cbt": "perhaps"}, "neither true nor false"),
        ({"ansible_winrm_read_timeout_sec": 10}, "longer than the operation timeout of 20 s"),
        ({"ansible_winrm_operation_timeout_sec": "soon"}, "number of seconds"),
        ({"ansible_host": "http://pc1/wsman"}, "neither a name nor an address"),
        ({"ansible_host": "{{ missing }}"}, "'missing' is undefined"),
        ({"ansible_winrm_transport": "certificate", "ansible_port": 5985}, "needs https"),
        ({"ansible_user": ["u"]}, "takes text"),
    ],
)
def test_wrong_value_names_variable_and_fix(variables: Mapping[str, object], told: str) -> None:
    text = problems(**variables)
    assert told in text


def test_password_with_braces_that_is_no_template_is_not_shown() -> None:
    told = problems(ansible_password=SecretRef("template", "a{{ hunter2 secret"))
    assert "holds {{ but is no template" in told
    assert "hunter2" not in told
    assert "secret" not in told


def test_all_wrong_variables_of_a_host_are_told_together() -> None:
    with pytest.raises(ConfigError) as caught:
        target(ansible_port="x", ansible_winrm_scheme="y")
    assert len(caught.value.problems) == 2


def test_variables_without_effect_are_explained() -> None:
    told = ignored_warnings(["ansible_winrm_kinit_mode", "ansible_psrp_configuration_name", "ansible_user"])
    assert len(told) == 2
    assert "kinit" in told[1]


NAMES = sorted({name for names in FIELDS.values() for name in names} | {"ansible_connection"})


@given(
    st.dictionaries(
        st.sampled_from(NAMES), st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    )
)
def test_any_variables_give_a_target_or_a_config_error(variables: Mapping[str, object]) -> None:
    with suppress(ConfigError):
        made = target(**variables)
        assert made.ports()
        assert made.read_timeout_s > made.operation_timeout_s
