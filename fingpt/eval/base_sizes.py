"""How many layers a base in the store has, and how many numbers go into and come out of each: what an adapter fits."""

from __future__ import annotations

from pydantic import BaseModel, Field

from fingpt.errors import DataError
from fingpt.models import ModelSpec
from fingpt.reading import parse_object
from fingpt.runs.run import base_manifest_key
from fingpt.storage import ObjectStore, read_verified
from fingpt.weights.base import read_base_manifest

_CONFIG = "config.json"


class BaseSizes(BaseModel):
    """What the `config.json` of a Llama says of its shapes; the other settings play no part."""

    num_hidden_layers: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    num_key_value_heads: int | None = None
    head_dim: int | None = None

    def of(self, target: str, side: str) -> int:
        """Numbers that go into the linear layer `target` (side A of its adapter), or come out of it (side B)."""
        head = self.head_dim or self.hidden_size // self.num_attention_heads
        heads = self.num_attention_heads * head
        keys = (self.num_key_value_heads or self.num_attention_heads) * head
        inner = self.intermediate_size
        into = {"o_proj": heads, "down_proj": inner}
        out = {
            "q_proj": heads,
            "k_proj": keys,
            "v_proj": keys,
            "gate_proj": inner,
            "up_proj": inner,
        }
        return (into if side == "A" else out).get(target, self.hidden_size)


def read_sizes(store: ObjectStore, model: ModelSpec) -> BaseSizes | None:
    """The sizes of `model`'s base, None where it is not in the store yet; DataError where it does not say them."""
    if not store.exists(base_manifest_key(model.base_prefix)):
        return None
    files = {file.name: file for file in read_base_manifest(store, model).files}
    try:
        data = read_verified(store, f"{model.base_prefix}/{_CONFIG}", files[_CONFIG].sha256)
        return BaseSizes.model_validate(parse_object(data))
    except (KeyError, ValueError):
        # The base has no such file, or it is no JSON object, or lacks a size.
        raise DataError(
            f"The base weights {model.base} do not say how large their layers are ({_CONFIG}); mirror the base again."
        ) from None
