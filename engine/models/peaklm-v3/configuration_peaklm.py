"""Configuration of a peaklm for `transformers.AutoConfig`."""

from transformers import PretrainedConfig


class PeakLMConfig(PretrainedConfig):
    """Shape of the network; the names are those of `config.json`."""

    model_type = "peaklm"

    def __init__(  # noqa: PLR0913 - one argument a key of config.json
        self,
        *,
        hidden_size: int = 256,
        embedding_size: int = 64,
        num_hidden_layers: int = 4,
        num_attention_heads: int = 4,
        intermediate_size: int = 512,
        n_filters: int = 64,
        max_position_embeddings: int = 256,
        rope_theta: float = 10000.0,
        layer_norm_eps: float = 1e-5,
        **more: object,
    ) -> None:
        self.hidden_size = hidden_size
        self.embedding_size = embedding_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.n_filters = n_filters
        self.max_position_embeddings = max_position_embeddings
        self.rope_theta = rope_theta
        self.layer_norm_eps = layer_norm_eps
        super().__init__(**more)
