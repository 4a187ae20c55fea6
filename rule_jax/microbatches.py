"""Into how many microbatches an update is cut where nobody says how: `microbatches=0` of a stage.

On an accelerator into one: what does not fit there is said by the setting, not guessed. On a CPU an update that keeps
many activations spends a third of its time on their memory: the kernel clears it for every call, page by page, and what
one product leaves is out of the caches before the next one reads it. So it is cut until a part keeps KEPT bytes, as
long as its tokens are worth the adding up of another set of gradients (tests/speed/LOG.md has the measurements).
"""

import math
from collections.abc import Mapping

from jax.sharding import Mesh

from rule_jax import sharding
from rule_jax.models.layers import DecoderConfig
from rule_jax.types import Packed, Rollout

KEPT = 2**27  # bytes of activations in a part
WORTH = 1.6  # tokens of a part, at least, for each number of the model's width


def of_rollout(config: DecoderConfig, rollout: Rollout, mesh: Mesh) -> int:
    """Microbatches of prompts with their answers. Packed answers count as the most that they can be, half of the
    rectangle's places, so that their number is known before they are packed."""
    (B, G, R), P = rollout.response_BGR.shape, rollout.prompts.tokens_BP.shape[1]
    return of_answers(config, (B, G, P, R), mesh, packed=rollout.packing is not None)


def of_answers(config: DecoderConfig, sizes: tuple[int, int, int, int], mesh: Mesh, *, packed: bool) -> int:
    """As `of_rollout`; sizes: B prompts, G answers to each, P and R tokens."""
    B, G, P, R = sizes
    return of_size(config, B, B * (P + G * (R - 1)) // (2 if packed else 1), mesh)


def of_packed(config: DecoderConfig, batch: Packed | Mapping[str, Packed], mesh: Mesh) -> int:
    """Microbatches of rows of whole sequences, or of several such parts, of which each is cut."""
    parts = [batch] if isinstance(batch, Packed) else [*batch.values()]
    rows = math.gcd(*(len(part.tokens_BT) for part in parts))
    return of_size(config, rows, sum(part.tokens_BT.size for part in parts), mesh)


def of_size(config: DecoderConfig, rows: int, tokens: int, mesh: Mesh) -> int:
    """Microbatches of so many rows and, in all of them, tokens: 1 but on a CPU. Every one has equally many rows of each
    device."""
    ways = sharding.row_shards(mesh)
    if mesh.devices.flat[0].platform != "cpu" or rows % ways:
        return 1
    own = tokens / ways
    worth = [parts for parts in _divisors(rows // ways) if parts == 1 or own / parts >= WORTH * config.width]
    return next((parts for parts in worth if own / parts * kept(config) <= KEPT), worth[-1])


def kept(config: DecoderConfig) -> int:
    """Bytes in float32 of what a backward pass keeps of one token, roughly: what the products of its layers take in
    and give out, and its logits three times over."""
    heads = 2 * config.heads + 2 * config.kv_heads
    layer = 8 * config.width + 2 * heads * config.head_dim + 4 * config.mlp_width
    return 4 * (config.layers * layer + 3 * config.vocab_size)


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]
