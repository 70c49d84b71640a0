"""Chat templates: what they render, what they refuse, and that none of them runs away."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from thimble.chat import ChatTemplate
from thimble.errors import FormatError, OptionError, ThimbleError, UnsupportedError
from thimble.template import MAX_SOURCE, RunawayError

MESSAGES = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": 'Hi <there> & "you" é🦙'},
    {"role": "assistant", "content": "  Hello! "},
    {"role": "user", "content": "Bye"},
]

CHATML = """{% for message in messages %}
{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nHelp.\\n' }}{% endif %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""  # noqa: E501
TURNS = """{{ bos_token }}{% if messages[0].role == 'system' %}
    {%- set system = messages[0].content | trim ~ '\\n\\n' %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set system, rest = '', messages %}
{%- endif %}
{%- for message in rest %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Roles must take turns') }}
    {%- endif %}
    {{- '[' ~ loop.index ~ '/' ~ loop.length ~ ('' if loop.last else '+') ~ '] ' }}
    {{- (system if loop.first else '') + message.content.strip() + eos_token }}
{%- endfor %}"""
FEATURES = """
{%- macro show(message, sep=': ') %}{{ message.role | upper }}{{ sep }}{{ message.content }}
{% endmacro %}
{%- set ns = namespace(users=0, names=[]) %}
{%- for message in messages if message.role in ['user', 'assistant'] %}
    {%- if message.role == 'user' %}{% set ns.users = ns.users + 1 %}{% endif %}
    {%- set ns.names = ns.names + [message.role] %}
    {{- show(message, sep=' - ') }}
{%- endfor %}
{{- ns.users }} {{ ns.names | join(', ') }} {{ messages | tojson }} {{ messages[0] | tojson(indent=2) }}
{{- messages | map(attribute='role') | unique | list | length }}
{{- messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('|') }}
{{- 'a,b'.split(',')[-1] }} {{ 'x y'.replace(' ', '_') }} {{ 'one\\ntwo' | indent(2) }}
{%- for key, value in messages[0].items() %}{{ key }}={{ value }};{% endfor %}
{%- set caught %}{{ messages[0].content }}{% endset %}{{ caught * 2 }} {{ 7 // 2 }} {{ 2 ** 5 }}
{%- if tools is defined and tools %}tools{% endif %}{{ missing }}{{ missing is defined }}
{%- for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ loop.index }}{% endfor %}"""  # noqa: E501


def render(source: str, messages: Any = None, **options: Any) -> str:
    template = ChatTemplate(source, bos_token="<s>", eos_token="</s>")
    return template.render(MESSAGES if messages is None else messages, **options)


@pytest.mark.parametrize("source", [CHATML, TURNS, FEATURES], ids=["chatml", "turns", "features"])
@pytest.mark.parametrize("prompt", [True, False])
def test_renders_what_plain_jinja2_renders(source: str, prompt: bool) -> None:
    plain = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    plain.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    plain.filters["tojson"] = lambda value, indent=None: __import__("json").dumps(
        value, ensure_ascii=False, indent=indent
    )
    names = {"messages": MESSAGES, "add_generation_prompt": prompt, "tools": None}
    expected = plain.from_string(source).render(bos_token="<s>", eos_token="</s>", **names)
    assert render(source, add_generation_prompt=prompt) == expected


def test_a_known_prompt() -> None:
    assert render(CHATML, [{"role": "user", "content": "Hi"}]) == (
        "<|im_start|>system\nHelp.\n<|im_start|>user\nHi<|im_end|>\n\n<|im_start|>assistant\n"
    )


def test_a_template_can_refuse() -> None:
    with pytest.raises(OptionError, match="refuses this conversation: Roles must take turns"):
        render(TURNS, [MESSAGES[1], MESSAGES[3]])


def test_what_transformers_offer_besides() -> None:
    assert render("{% generation %}x{% endgeneration %}") == "x"
    assert render("{{ strftime_now('%Y') | length }}") == "4"
    assert render("{{ '<' | tojson }}") == '"<"'


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ("Hi", "messages are a list, not str"),
        (None, "messages are a list, not NoneType"),
        ([], "messages is empty"),
        (["Hi"], r"messages\[0\] is a mapping, not str"),
        ([{"role": "user", "content": "", "name": "a|>"}], r"messages\[0\] has the name 'a\|>'"),
        ([{"role": "user"}], r"messages\[0\] has 'role' and 'content', not 'role'"),
        ([MESSAGES[0], MESSAGES[0] | {"names": "x"}], r"messages\[1\] has 'role' and 'content'"),
        ([{"role": "robot", "content": ""}], r"messages\[0\] has role 'robot'; roles are system"),
        ([{"role": ["user"], "content": ""}], r"messages\[0\] has role"),
        ([{"role": "user", "content": 3}], r"messages\[0\] has a content of int, not str"),
    ],
)
def test_messages_are_checked(messages: Any, error: str) -> None:
    with pytest.raises(OptionError, match=error):
        ChatTemplate(CHATML).render(messages)


GROW = "{% set ns = namespace(x='ab') %}{% for a in range(60) %}GROW{% endfor %}{{ ns.x | string }}"
RUNAWAYS = {
    "loops": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n-1) ~ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "output": "{% for a in range(99999) %}{{ messages[0].content * 1000 }}{% endfor %}",
    "repetition": "{{ 'a' * 10 ** 9 }}",
    "repeated list": "{{ ([0] * 10 ** 9) | length }}",
    "power": "{{ 10 ** 1000 ** 1000 ** 1000 }}",
    "product": "{% set ns = namespace(x=9) %}{% for a in range(60) %}{% set ns.x = ns.x * ns.x %}"
    "{% endfor %}",
    "doubling": GROW.replace("GROW", "{% set ns.x = ns.x + ns.x %}"),
    "joining": GROW.replace("GROW", "{% set ns.x = ns.x ~ ns.x %}"),
    "capturing": GROW.replace(
        "GROW", "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"
    ),
    "lists": GROW.replace("GROW", "{% set ns.x = [ns.x, ns.x] %}"),
    "tuples": GROW.replace("GROW", "{% set ns.x = (ns.x, ns.x) %}"),
    "dicts": GROW.replace("GROW", "{% set ns.x = {'a': ns.x, 'b': ns.x} %}"),
    "dict()": GROW.replace("GROW", "{% set ns.x = dict(a=ns.x, b=ns.x) %}"),
    "replace": "{% set x = 'a' * 99999 %}{{ x | replace('a', x) }}",
    "str.replace": "{% set x = 'a' * 99999 %}{{ x.replace('a', x) }}",
    "join": "{% set x = 'a' * 99999 %}{{ x | join(x) }}",
    "str.join": "{% set x = 'a' * 99999 %}{{ x.join(x) }}",
    "indent": "{{ 'a\\nb' | indent(10 ** 9) }}",
    "tojson": "{{ messages | tojson(indent=10 ** 9) }}",
}


@pytest.mark.parametrize("source", RUNAWAYS.values(), ids=RUNAWAYS.keys())
def test_no_template_runs_away(source: str) -> None:
    began = time.monotonic()
    with pytest.raises(RunawayError):
        render(source)
    assert time.monotonic() - began < 30  # seconds; on a busy machine, too


@pytest.mark.parametrize(
    ("source", "kind", "error"),
    [
        ("{% for %}", FormatError, "broken in line 1"),
        ("{% for m in messages %}", FormatError, "broken in line 1"),
        ("{{ nothing.at.all }}", FormatError, "UndefinedError: 'nothing' is undefined"),
        ("{{ 1 // 0 }}", FormatError, "ZeroDivisionError"),
        ("{% import 'x' as x %}", UnsupportedError, "has a Import in line 1, which is not offered"),
        ("{% for x in none %}{% endfor %}", FormatError, "TypeError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", RunawayError, "without an end"),
        ("{{ " + "(" * 900 + "1" + ")" * 900 + " }}", FormatError, "nests too deeply"),
        ("x" * (MAX_SOURCE + 1), FormatError, "characters; at most"),
        ("{{ 'a' | center(9) }}", UnsupportedError, "No filter named 'center'"),
        ("{{ ''.__class__.__mro__ }}", UnsupportedError, "sandbox forbids"),
        ("{{ 'a'.ljust(10 ** 10) }}", UnsupportedError, "sandbox forbids"),
        ("{{ '{:>9999999999}'.format(1) }}", UnsupportedError, "sandbox forbids"),
        ("{{ '%9999999999d' % 1 }}", UnsupportedError, "formats text with %"),
        ("{{ namespace() }}", UnsupportedError, "writes a Namespace"),
        ("{{ [namespace()] }}", UnsupportedError, "puts a Namespace into a list"),
        ("{{ messages.append(1) }}", UnsupportedError, "sandbox forbids"),
        ("{{ strftime_now('%999999999Y') }}", FormatError, "asks for a date"),
    ],
)
def test_broken_and_forbidden_templates(source: str, kind: type[ThimbleError], error: str) -> None:
    with pytest.raises(kind, match=error):
        render(source)


def test_a_long_conversation_is_no_runaway() -> None:
    long = [{"role": r, "content": "word " * 20_000} for r in ("user", "assistant") * 20]
    assert len(render(CHATML, long)) > 4_000_000


def test_a_template_is_compiled_when_first_rendered() -> None:
    template = ChatTemplate("{% for %}")  # a model with a broken template can still be loaded
    with pytest.raises(FormatError):
        template.render(MESSAGES)
    with pytest.raises(OptionError, match="source is a str, not NoneType"):
        ChatTemplate(None)  # type: ignore[arg-type]


def test_without_jinja2_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("thimble.template")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UnsupportedError, match="need the package Jinja2"):
        render(CHATML)
