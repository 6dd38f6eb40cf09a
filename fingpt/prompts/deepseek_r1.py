"""The prompt of DeepSeek-R1 and its distilled models:

    <｜begin▁of▁sentence｜><｜User｜>{system}

    {user}<｜Assistant｜><think>

    </think>

Two differences from the official template. The vendor advises against a system turn, so the system text opens the
user turn. The reference answers hold no reasoning, so the prompt itself ends with an empty reasoning block: masked in
training, given in generation, and in neither left to the model.
"""

from __future__ import annotations

from fingpt.prompts.template import Piece, SpecialToken

_BEGIN = SpecialToken("<｜begin▁of▁sentence｜>")
_USER, _ASSISTANT = SpecialToken("<｜User｜>"), SpecialToken("<｜Assistant｜>")
_THINK, _THINK_END = SpecialToken("<think>"), SpecialToken("</think>")

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
{{- '<｜begin▁of▁sentence｜>' }}
{%- for message in messages if message['role'] != 'system' %}
    {%- if message['role'] == 'user' %}
        {{- '<｜User｜>' }}
        {%- if turns.system %}
            {{- turns.system + '\\n\\n' }}
            {%- set turns.system = '' %}
        {%- endif %}
        {{- message['content'] }}
    {%- else %}
        {{- '<｜Assistant｜><think>\\n\\n</think>\\n\\n' + (message['content'] | trim) + '<｜end▁of▁sentence｜>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<｜Assistant｜><think>\\n\\n</think>\\n\\n' }}
{%- endif %}
"""
"""The same prompt for other programs, as Jinja that transformers and vLLM read; a test holds the two equal."""


def prompt(system: str, user: str) -> tuple[Piece, ...]:
    """The pieces of the prompt up to where the answer begins."""
    turn = f"{system}\n\n{user}" if system else user
    return (_BEGIN, _USER, turn, _ASSISTANT, _THINK, "\n\n", _THINK_END, "\n\n")
