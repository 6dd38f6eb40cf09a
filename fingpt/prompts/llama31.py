"""The prompt of Llama-3.1-Instruct, as its official template renders it on 26 July 2024:

    <|begin_of_text|><|start_header_id|>system<|end_header_id|>

    Cutting Knowledge Date: December 2023
    Today Date: 26 Jul 2024

    {system}<|eot_id|><|start_header_id|>user<|end_header_id|>

    {user}<|eot_id|><|start_header_id|>assistant<|end_header_id|>

The date is fixed, so that equal rows give equal ids on any day. System and user text are trimmed, as the official
template does.
"""

from __future__ import annotations

from fingpt.prompts.template import Piece, SpecialToken

_BEGIN = SpecialToken("<|begin_of_text|>")
_HEADER, _HEADER_END = SpecialToken("<|start_header_id|>"), SpecialToken("<|end_header_id|>")
_TURN_END = SpecialToken("<|eot_id|>")

_PREAMBLE = "\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"

CHAT_TEMPLATE = """\
{%- set turns = namespace(system='') %}
{%- for message in messages %}
    {%- if message['content'] is not string %}
        {{- raise_exception('This template takes messages whose content is text.') }}
    {%- endif %}
    {%- if message['role'] not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('This template knows the roles system, user and assistant.') }}
    {%- endif %}
    {%- if message['role'] == 'system' and not loop.first %}
        {{- raise_exception('This template takes a system message in front only.') }}
    {%- endif %}
{%- endfor %}
{%- if messages and messages[0]['role'] == 'system' %}
    {%- set turns.system = messages[0]['content'] %}
{%- endif %}
{{- '<|begin_of_text|><|start_header_id|>system<|end_header_id|>' }}
{{- '\\n\\nCutting Knowledge Date: December 2023\\nToday Date: 26 Jul 2024\\n\\n' }}
{{- (turns.system | trim) + '<|eot_id|>' }}
{%- for message in messages if message['role'] != 'system' %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- (message['content'] | trim) + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
"""The same prompt for other programs, as Jinja that transformers and vLLM read; a test holds the two equal."""


def prompt(system: str, user: str) -> tuple[Piece, ...]:
    """The pieces of the prompt up to where the answer begins."""
    return (
        *(_BEGIN, _HEADER, "system", _HEADER_END, _PREAMBLE + system.strip(), _TURN_END),
        *(_HEADER, "user", _HEADER_END, "\n\n" + user.strip(), _TURN_END),
        *(_HEADER, "assistant", _HEADER_END, "\n\n"),
    )
