"""Tokenizer of a peaklm for `transformers.AutoTokenizer`: six letters a token, no special tokens.

Letters other than A, C, G, T are read as N; the last token of a sequence is filled up with N.
"""

from itertools import product

from transformers import PreTrainedTokenizer

LETTERS = "ACGTN"
TOKEN_BASES = 6
PADDING = "N" * TOKEN_BASES
"""Padding has the id of six unknown bases; the attention mask tells the two apart."""


class PeakLMTokenizer(PreTrainedTokenizer):
    """Six letters of A, C, G, T, N a token; the id is their number in base 5."""

    model_input_names = ("input_ids", "attention_mask")
    vocab_files_names: dict[str, str] = {}  # noqa: RUF012 - transformers wants a dict

    def __init__(self, **more: object) -> None:
        tokens = ("".join(letters) for letters in product(LETTERS, repeat=TOKEN_BASES))
        self._ids = {token: number for number, token in enumerate(tokens)}
        self._tokens = list(self._ids)
        super().__init__(**{"pad_token": PADDING, "unk_token": PADDING, **more})

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self._tokens)

    def get_vocab(self) -> dict[str, int]:
        """Id of each token."""
        return dict(self._ids)

    def tokenize(self, text: str, **_: object) -> list[str]:
        """Tokens of a sequence, one at least; spaces are letters like any other."""
        letters = "".join(c if c in LETTERS else "N" for c in text.upper()) or "N"
        filled = letters + "N" * (-len(letters) % TOKEN_BASES)
        return [filled[at : at + TOKEN_BASES] for at in range(0, len(filled), TOKEN_BASES)]

    def _convert_token_to_id(self, token: str) -> int:
        return self._ids[token]

    def _convert_id_to_token(self, index: int) -> str:
        return self._tokens[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The letters of some tokens."""
        return "".join(tokens)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """There are no special tokens."""
        return token_ids_0 + (token_ids_1 or [])

    def save_vocabulary(self, *_: object, **__: object) -> tuple[str, ...]:
        """Nothing to write: the vocabulary is a rule."""
        return ()
