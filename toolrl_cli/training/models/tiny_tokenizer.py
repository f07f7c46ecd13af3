"""The tiny model's tokenizer: few tokens for ToolWorld, and byte-level BPE for all other text.

CPU time grows with tokens times parameters. So each fixed sentence of the rlla format is one token, and each word of
ToolWorld without the space before it: `Paris` is the same token after ` in ` and after `": "`, so that a small model
can copy it. These pieces are added tokens, but not special ones: they are decoded as written, and the longest match
wins. All other text is encoded by byte-level BPE with Qwen's pre-tokenizer and a few merges, so that decoding gives
back any NFC-normalised text unchanged.

The class is `Qwen2Tokenizer`, because Transformers loads it for every `qwen2` model whatever the files say.
"""

from __future__ import annotations

import json
from pathlib import Path

from toolrl_cli.datasets import rlla_format
from toolrl_cli.datasets import toolworld_words as words

PAD = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
BYTES = 256  # the alphabet of a byte-level tokenizer
CONTROL_TOKENS = (PAD, TURN_START, TURN_END)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_TAGS = ("think", "tool_call", "response", "user", "obs")

# frequent pairs of English text, so that ordinary words (rlla rows) have about half as many tokens as letters
# "_" stands for a leading space; a pair's parts must be letters or earlier pairs.
_MERGES = (
    "_ t|_ a|h e|i n|r e|o n|_t he|e r|_ s|a t|_ w|_ o|e n|_ c|i t|i s|a n|o r|e s|_ b|e d|_ f|in g|_ p|o u|_a n|"
    "a l|a r|_t o|_ m|_o f|_ in|_ d|_ h|_an d|i c|a s|l e|i on|o m|l l|en t|_ n|_ l|s t|_ re|v e|_ e|r o|l y|_b e|"
    "_ g|c t|i d|o t|u t|e t|_ is|_ on|i m|a m|o w|a y|a d|s e|i g|_f or|a c|_ y|v er|u r|_ u|_s t|_ it|at ion|i r|"
    "c e|_y ou|i l|o l|t er|c h|_a s|i f|a g|er s|k e|e m|_c on|o d|u l|at e|r i|p p|or e|t h|s h|a p|_p ro|q u|"
    "i v|e l|u m|n am|nam e|p e|t y|ty pe|st r|str ing|p t|es c|esc r|escr i|escri pt|_d escript|d escript|"
    "descript ion|_descript ion|u e|a b|l o|c i|f i|d e|f a|fa ul|faul t|de fault|_ id|_ name|u s|us er|_ user|"
    "p ar|par am|param et|paramet ers|paramet er|_ param|d at|dat e|_ date|_re qu|_s e|_t h|_th is"
)


def tokenizer_pieces() -> list[str]:
    """All pieces of more than one byte, in a fixed order, without repetition."""
    schema_ends = [
        _schema_text(slot) + end for slot in (*words.SLOTS.values(), words.REFERENCE) for end in (', "', "}")
    ]
    fixed = [
        rlla_format.SYSTEM_HEAD,
        rlla_format.SYSTEM_TAIL,
        rlla_format.HISTORY_HEAD + "<user> ",
        rlla_format.HISTORY_HEAD,
        rlla_format.THINK_TOOL,
        rlla_format.THINK_RESPONSE,
        *(f"\n{number}. Name: " for number in range(1, 10)),
        "\nDescription: ",
        "\nDescription: " + words.DESCRIPTION_LEAD,
        "\nParameters: ",
        '.\nParameters: {"',
        *schema_ends,
        *(f"<{tag}>" for tag in _TAGS),
        *(f"</{tag}>" for tag in _TAGS),
        *(f"<{tag}> " for tag in _TAGS),
        *(f" </{tag}>" for tag in _TAGS),
        "\n<tool_call>\n",
        "\n</tool_call>",
        "\n<response> ",
        '{"name": "',
        '", "parameters": {"',
        '": "',
        '", "',
        '"}}',
        *(end + " </user>" for end in (".", "?")),
        '<obs> [{"name": "',
        '", "results": {"',
        '"}}] </obs>',
        "system\n",
        "user\n",
        "assistant\n",
        "\n\n",
        words.REFUSAL,
        words.CHAT_REPLY,
        *words.CHATTER,
        words.DONE_LEAD,
        words.ARTICLE,
        words.AND,
        words.THEN,
        words.THEN_IT,
        *(opener for opener, _ in words.OPENERS),
        *words.VERBS,
        *words.NOUNS,
    ]
    for slot in (*words.SLOTS.values(), words.REFERENCE):
        fixed += [slot.lead, *slot.aliases, *slot.values]
    return list(dict.fromkeys(fixed))


def vocabulary_size() -> int:
    """Number of tokens, calculated without building the tokenizer."""
    merged = {pair.replace("_", "Ġ").replace(" ", "") for pair in _MERGES.split("|")}
    # single bytes are already in the vocabulary
    pieces = {piece for piece in tokenizer_pieces() if len(piece.encode()) > 1}
    return BYTES + len(merged | set(CONTROL_TOKENS) | pieces)


def _schema_text(slot: words.Slot) -> str:
    """The schema text after a parameter's name, up to its closing brace."""
    return '": ' + json.dumps({"description": slot.description, "type": slot.type, "default": ""})


def write_tokenizer(folder: Path, max_length: int) -> dict[str, int]:
    """Save the tokenizer as Hugging Face files in `folder`.

    Returns:
        Token → id.
    """
    from tokenizers import AddedToken, pre_tokenizers
    from transformers import Qwen2Tokenizer

    merges = [tuple(pair.replace("_", "Ġ").split(" ")) for pair in _MERGES.split("|")]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(alphabet + ["".join(pair) for pair in merges])}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        unk_token=PAD,
        pad_token=PAD,
        eos_token=TURN_END,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL_TOKENS])
    tokenizer.add_tokens([AddedToken(piece, special=False, normalized=False) for piece in tokenizer_pieces()])
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    ids: dict[str, int] = tokenizer.get_vocab()
    return ids
