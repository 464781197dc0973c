from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddcplay.errors import Place, TemplateError
from ddcplay.model.inventory import SecretRef
from ddcplay.model.playbook import Unsafe
from ddcplay.templating.environment import Scope, render_record, render_value
from ddcplay.templating.expression import Expression

PLACE = Place("labs.yml", 3, 14)


def scope(**variables: object) -> Scope:
    return Scope([variables], host="pc1")


def failure(value: object, variables: Scope, **options: bool) -> str:
    with pytest.raises(TemplateError) as caught:
        render_value(value, variables, PLACE, **options)
    return str(caught.value)


@pytest.mark.parametrize("value", [5, 1.5, True, None, ["a", {"b": 2}], {"k": [1]}])
def test_lone_expression_keeps_its_type(value: object) -> None:
    assert render_value("{{ x }}", scope(x=value)) == value
    assert type(render_value("{{ x }}", scope(x=value))) is type(value)


def test_expression_inside_a_text_becomes_text_and_none_nothing() -> None:
    assert render_value("a {{ x }}{{ n }}!", scope(x=5, n=None)) == "a 5!"


def test_lists_and_mappings_are_rendered_inside_and_keys_are_left_alone() -> None:
    assert render_value({"{{ x }}": ["{{ x }}", 2]}, scope(x=1)) == {"{{ x }}": [1, 2]}


def test_variables_may_be_templates_of_variables() -> None:
    variables = scope(a=1, b="{{ a }}", c={"d": ["{{ b }}-x"]})
    assert render_value("{{ b }}", variables) == 1
    assert render_value("{{ c.d[0] }}", variables) == "1-x"


def test_stronger_layer_is_seen_by_templates_of_weaker_layers() -> None:
    variables = Scope([{"drive": "D:"}, {"drive": "C:", "path": "{{ drive }}\\x"}])
    assert render_value("{{ path }}", variables) == "D:\\x"


def test_values_of_record_time_are_never_templates() -> None:
    hostile = {"data": {"name": "{{ 7 * 7 }}", "{{ x }}": 1}}
    assert render_record("{{ data.name }}", hostile) == "{{ 7 * 7 }}"
    assert render_record("{{ name }}", {"name": "{{ lookup('file', '/etc/passwd') }}"}).startswith(
        "{{ lookup"
    )
    assert Expression("data.name == '{' ~ '{ 7 * 7 }}'").evaluate(hostile)


def test_record_time_cannot_look_anything_up() -> None:
    with pytest.raises(TemplateError, match="'lookup' is undefined"):
        render_record("{{ lookup('env', 'HOME') }}", {})
    with pytest.raises(TemplateError, match="'lookup' is undefined"):
        Expression("lookup('env', 'HOME') == ''").evaluate({})


def test_plan_time_takes_an_ordinary_mapping_of_variables_too() -> None:
    assert render_value("{{ name }}", {"name": "x-{{ site }}", "site": "lab1"}) == "x-lab1"


def test_static_facts_are_never_templates_at_plan_time_either() -> None:
    variables = Scope([], facts={"static": {"model": "{{ 7 * 7 }}"}})
    assert render_value("{{ static.model }}", variables) == "{{ 7 * 7 }}"


def test_variables_in_a_circle_are_named() -> None:
    text = failure("{{ a }}", scope(a="{{ b }}", b="{{ c }}", c="{{ a }}"))
    assert "a → b → c → a" in text


def test_unsafe_text_is_left_alone_directly_and_as_a_variable() -> None:
    assert render_value(Unsafe("{{ x }}"), scope()) == "{{ x }}"
    assert render_value("{{ u }}", scope(u=Unsafe("{{ x }}"))) == "{{ x }}"


def test_code_keeps_powershells_percent_and_comment_marks() -> None:
    script = "1..3 |%{% $_ %}\n<# {# #} #> Get-Item {{ path }}\n"
    assert render_value(script, scope(path="C:\\"), code=True) == script.replace("{{ path }}", "C:\\")


def test_blocks_and_comments_work_outside_code() -> None:
    text = "{% for x in xs %}{{ x }},{% endfor %}{# note #}"
    assert render_value(text, scope(xs=[1, 2])) == "1,2,"


def test_undefined_names_variable_host_place_and_nearest_name() -> None:
    text = failure("{{ drvie }}", scope(drive="C:"))
    assert text.startswith("labs.yml:3:14: variable 'drvie' is undefined on host pc1")
    assert "did you mean 'drive'?" in text


def test_undefined_inside_a_variable_names_both() -> None:
    text = failure("{{ path }}", scope(path="{{ drvie }}"))
    assert "'drvie' is undefined (used by variable 'path')" in text


def test_undefined_field_names_the_nearest_field() -> None:
    assert "did you mean 'size'?" in failure("{{ d.szie }}", scope(d={"size": 1}))


def test_undefined_hidden_in_a_list_is_found() -> None:
    assert "'x' is undefined" in failure("{{ [1, x] }}", scope())


def test_field_of_a_mapping_is_found_before_its_method() -> None:
    assert render_value("{{ d.items }} {{ d.keys() | list }}", scope(d={"items": 3})) == "3 ['items']"


def test_function_without_call_is_refused() -> None:
    assert "call it with ()" in failure("{{ d.keys }}", scope(d={}))
    assert "call it with ()" in failure("x {{ d.keys }}", scope(d={}))


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ x.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ self.__init__ }}",
        "{{ lookup.__func__ }}",
        "{{ x | attr('__class__') }}",
        "{{ '{0.__class__}'.format(x) }}",
        "{{ xs.append(1) }}",
        "{{ d.update(a=1) }}",
        "{{ lookup('pipe', 'id') }}",
        "{{ range(10**9) | list }}",
        "{{ 'a' * 10**9 }}",
        "{{ [0] * 10**9 }}",
        "{{ 9 ** 99999 }}",
        "{{ 'x'.ljust(10**9) }}",
        "{{ 'x' | center(10**9) }}",
        "{{ 'x' | indent(10**9, true) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, 1000000000) }}",
        "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
        "{{ ('a' * 100000) | replace('a', 'b' * 100000) }}",
        "{{ ('a' * 100000).join(['b'] * 100000) }}",
        "{{ lipsum(n=100000) }}",
        "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
        "{% for i in range(90000) %}{{ 'a' * 100000 }}{% endfor %}",
        "{% set n = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        "{% set n = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
        "{% extends 'x' %}",
        "{{ 1[1:2] }}",
        "{{" + "(" * 3000 + ")" * 3000 + "}}",
    ],
)
def test_escape_or_bomb_ends_quickly_in_a_template_error(text: str) -> None:
    started = time.process_time()
    failure(text, scope(x=1, xs=[1], d={}))
    assert time.process_time() - started < 2


def test_secret_in_a_command_is_refused_with_the_way_out() -> None:
    variables = scope(pw=SecretRef("env", "PW"), deep={"pw": SecretRef("plain", "hunter2!")})
    for text in (
        "net use {{ pw }}",
        "{{ pw }}",
        "{{ pw | upper }}",
        "{{ pw ~ 'x' }}",
        "{{ deep.pw }}",
        "{{ deep }}",
    ):
        told = failure(text, variables)
        assert "`env:`" in told
        assert "`stdin:`" in told
        assert "hunter2!" not in told


def test_secret_alone_is_handed_on_as_reference_where_it_may_be() -> None:
    ref = SecretRef("env", "PW")
    assert render_value({"PASS": "{{ pw }}"}, scope(pw=ref), secrets=True) == {"PASS": ref}
    assert render_value("{{ pw | default('x') }}", scope(pw=ref), secrets=True) == ref
    assert render_value("{{ also }}", scope(pw=ref, also="{{ pw }}"), secrets=True) == ref
    assert "`stdin:`" in failure("user:{{ pw }}", scope(pw=ref), secrets=True)


@pytest.mark.parametrize(
    "text", ["{{ pw.value }}", "{{ pw['value'] }}", "{{ [pw] | map(attribute='value') | list }}"]
)
def test_plain_secret_cannot_be_taken_out_of_its_reference(text: str) -> None:
    for variables in (scope(pw=SecretRef("plain", "hunter2!")), {"pw": SecretRef("plain", "hunter2!")}):
        with pytest.raises(TemplateError) as caught:
            render_value(text, variables, secrets=True)
        assert "hunter2!" not in str(caught.value)


def test_secret_is_defined_and_may_be_asked_for_in_a_condition() -> None:
    assert Expression("pw is defined").evaluate(scope(pw=SecretRef("env", "PW")))


def test_lookup_reads_the_environment_and_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DDCPLAY_TEST_SITE", "lisbon")
    (tmp_path / "site").write_text("porto\n", encoding="utf-8")
    assert render_value("{{ lookup('env', 'DDCPLAY_TEST_SITE') }}-x", scope()) == "lisbon-x"
    assert render_value("{{ lookup('file', path) }}", scope(path=str(tmp_path / "site"))) == "porto"
    assert render_value("{{ lookup('env', 'DDCPLAY_TEST_UNSET') }}", scope()) == ""
    assert "cannot be read" in failure("{{ lookup('file', '/no/such/file') }}", scope())


@pytest.mark.parametrize(("kind", "name"), [("env", "ADMIN_PW"), ("file", "/run/secrets/pw")])
def test_lookup_of_a_secret_variable_stays_a_reference(kind: str, name: str) -> None:
    variables = scope(admin_password=f"{{{{ lookup('{kind}', '{name}') }}}}")
    assert variables.value("admin_password") == SecretRef(kind, name)
    assert render_value("{{ admin_password }}", variables, secrets=True) == SecretRef(kind, name)


def test_template_of_a_secret_is_rendered_into_a_reference() -> None:
    variables = scope(ansible_password=SecretRef("template", "{{ base }}-{{ 1 + 1 }}"), base="pre")
    assert variables.value("ansible_password") == SecretRef("plain", "pre-2")


@pytest.mark.parametrize(
    ("text", "scheme"), [("hunter2!", "plain"), ("env:PW", "env"), ("{{ e }}:PW", "env")]
)
def test_password_given_as_text_is_a_secret_all_the_same(text: str, scheme: str) -> None:
    variables = scope(ansible_password=text, e="env")
    ref = variables.value("ansible_password")
    assert isinstance(ref, SecretRef)
    assert ref.scheme == scheme
    assert "hunter2!" not in failure("net use {{ ansible_password }}", variables)


def test_filters_quote_and_insist() -> None:
    variables = scope(p="C:\\Program Files\\x", n="O'Neil")
    assert render_value("{{ p | win_quote }}", variables) == '"C:\\Program Files\\x"'
    assert render_value("{{ n | ps_quote }} {{ n | wql_quote }}", variables) == "'O''Neil' 'O\\'Neil'"
    assert "'gone' is undefined" in failure("{{ gone | mandatory }}", variables)
    assert "line break" in failure("{{ 'a\\nb' | win_quote }}", variables)
    assert "No filter named 'nope'" in failure("{{ n | nope }}", variables)


def test_result_over_the_bound_is_refused() -> None:
    assert "too much" in failure("{{ x }}{{ x }}", scope(x="a" * 600_000))


def test_list_that_holds_itself_is_refused() -> None:
    endless: list[object] = ["{{ x }}"]
    endless.append(endless)
    assert "deep" in failure(endless, scope(x=1))


MARKS = "{{ }} {% %} {# #} x | xs . [ ] ( ) ' * - 1 9 ~ = __class__ : , pw d % { } \ue000"
FRAGMENTS = st.sampled_from([*MARKS.split(), " for x in xs ", " endfor ", " if ", " set ", "\n"])


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAGMENTS, max_size=25).map("".join) | st.text(), st.booleans(), st.booleans())
def test_rendering_raises_nothing_but_template_errors(text: str, code: bool, secrets: bool) -> None:
    variables = scope(x=1, xs=[1, "a"], d={"k": None}, pw=SecretRef("env", "PW"), y=text)
    for value in (text, "{{" + text + "}}", "{{ y }}"):
        with suppress(TemplateError):
            render_value(value, variables, PLACE, code=code, secrets=secrets)
    with suppress(TemplateError):
        Expression(text, PLACE).evaluate(variables)


@given(st.text().filter(lambda text: "{" not in text))
def test_text_without_a_template_comes_back_unchanged(text: str) -> None:
    assert render_value(text, scope()) == text


def test_importing_the_package_does_not_import_jinja() -> None:
    program = "import sys, ddcplay.templating, ddcplay.templating.quoting; print('jinja2' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"
