"""What to write in a foreign adapter's configuration for a setting that is not supported, where it can mean the same.

What is written is compared with the weights like any other configuration, so advice that does not fit is refused too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import sqrt
from typing import Any, TypeGuard

from fingpt.models import LINEAR_LAYERS

# They leave some of target_modules' layers out, which shows in the weights.
_NARROWS_TARGETS = ("exclude_modules", "layers_to_transform", "layers_pattern")
_MOST = 1 << 20


def instead(settings: Mapping[str, Any], name: str) -> str:
    """What to do about the setting `name`, which must be empty or off."""
    if name in _NARROWS_TARGETS:
        return "write null where the weights have all layers of target_modules, which is checked"
    rank, alpha = settings.get("r"), settings.get("lora_alpha")
    if name == "use_rslora" and _above_zero(rank) and _above_zero(alpha):
        # It divides alpha by the square root of the rank, and not by the rank.
        return f"write false, and for lora_alpha{whole_alpha(alpha * sqrt(rank))}"
    return "train the adapter again without it"


def whole_alpha(alpha: Any) -> str:
    """How an adapter gets a whole alpha and computes the same; empty for what is no alpha."""
    if not _above_zero(alpha):
        return ""
    whole = max(1, round(alpha))
    scaled = "" if alpha == whole else f" and multiply all lora_B weights by {alpha / whole:.9g}"
    return f": write {whole}{scaled}"


def list_of_layers(targets: Any) -> str:
    """The list that means the same as a foreign `target_modules`, where that is known."""
    every = list(LINEAR_LAYERS) if targets == "all-linear" else targets
    if isinstance(every, list) and every and all(isinstance(each, str) for each in every):
        names = {each.rpartition(".")[2] for each in every}
        if names <= set(LINEAR_LAYERS):
            found = [name for name in LINEAR_LAYERS if name in names]
            return f"write {json.dumps(found)} there, which is compared with the weights"
    return (
        "write there the short names of the layers that its weights are for, which are compared with them; an adapter "
        "of other layers has to be trained again"
    )


def _above_zero(value: object) -> TypeGuard[int | float]:
    # Neither NaN nor Infinity, which JSON's reader takes for numbers, lies between the two.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST
