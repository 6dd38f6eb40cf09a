"""A small byte-level BPE of the kind of Llama's, or of nearly that kind."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from fingpt.prompts.words import LLAMA_PATTERN

LINES = (
    "Orders grew by 12.5% — it's the “best” week since 2019.\n\n  They'Re sure; we'll see!?\r\n",
    "Überschuß 日本語 １２３ ⅷ ſ x'ſ é́ \u00a0\u2003z\u200b\u3000\n\tß 😀👍🏽 don'T 'tis 1,234,567",
)


def tokenizer(
    pattern: str = LLAMA_PATTERN, behavior: str = "isolated", **settings: object
) -> Tokenizer:
    """A small byte-level BPE that was trained on LINES."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior=behavior),
            pre_tokenizers.ByteLevel(**{"add_prefix_space": False, "use_regex": False, **settings}),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    made.train_from_iterator(LINES * 3, trainer)
    return made
