"""How checkpoints name their tensors, and which part of ours each one holds."""

from dataclasses import dataclass

from rule_jax.models.layers import DecoderConfig

LAYER = "model.layers.{layer}."
NORMS = {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}
PROJECTIONS = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}


@dataclass(frozen=True)
class Tensor:
    """One parameter of ours and the checkpoint tensor it comes from.

    path: keys into the parameter tree, e.g. ("layers", "attention", "query_kernel").
    name: the tensor's name; "{layer}" stands for the layer number of stacked parameters.
    inputs: how many leading axes of ours (the layer axis not counted) are a linear layer's inputs. The checkpoint
        holds [outputs, inputs], each flattened, so it is transposed on the way. 0: the same layout on both sides.
    flat: the checkpoint holds all axes (the layer axis not counted) as one, like the bias of a projection to heads.
    rows: (first, all) where the tensor is several parameters of ours on top of each other: its first row that is this
        parameter's, and how many it has.
    """

    path: tuple[str, ...]
    name: str
    inputs: int = 0
    flat: bool = False
    rows: tuple[int, int] | None = None

    @property
    def stacked(self) -> bool:
        return self.path[0] == "layers"


def standard(config: DecoderConfig, norms: dict[str, str] = NORMS) -> tuple[Tensor, ...]:
    """Every tensor of a checkpoint whose projections are named as Llama's. norms: ours -> theirs, of a layer."""
    found = [
        Tensor(("ends", "embedding"), "model.embed_tokens.weight"),
        Tensor(("ends", "final_norm", "scale"), "model.norm.weight"),
        *(Tensor(("layers", ours, "scale"), f"{LAYER}{theirs}.weight") for ours, theirs in norms.items()),
        Tensor(("layers", "attention", "out_kernel"), LAYER + "self_attn.o_proj.weight", inputs=2),
    ]
    if not config.tied_embeddings:
        found.append(Tensor(("ends", "head"), "lm_head.weight"))
    for ours, theirs in PROJECTIONS.items():
        found.append(Tensor(("layers", "attention", f"{ours}_kernel"), f"{LAYER}self_attn.{theirs}.weight", inputs=1))
        if config.qkv_bias:
            found.append(Tensor(("layers", "attention", f"{ours}_bias"), f"{LAYER}self_attn.{theirs}.bias", flat=True))
    if config.out_bias:
        found.append(Tensor(("layers", "attention", "out_bias"), LAYER + "self_attn.o_proj.bias"))
    if config.query_key_norm:
        found.append(Tensor(("layers", "attention", "query_norm", "scale"), LAYER + "self_attn.q_norm.weight"))
        found.append(Tensor(("layers", "attention", "key_norm", "scale"), LAYER + "self_attn.k_norm.weight"))
    for ours in ("gate", "up", "down"):
        found.append(Tensor(("layers", "mlp", f"{ours}_kernel"), f"{LAYER}mlp.{ours}_proj.weight", inputs=1))
        if config.mlp_bias:
            found.append(Tensor(("layers", "mlp", f"{ours}_bias"), f"{LAYER}mlp.{ours}_proj.bias"))
    return tuple(found)


def fused(name: str, sizes: dict[tuple[str, ...], int]) -> tuple[Tensor, ...]:
    """Projections that the checkpoint holds in one tensor. sizes: path -> rows of that tensor, in their order."""
    total, first, found = sum(sizes.values()), 0, []
    for path, rows in sizes.items():
        found.append(Tensor(path, name, inputs=1, rows=(first, total)))
        first += rows
    return tuple(found)
