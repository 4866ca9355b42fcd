"""Makes the golden fixtures of tests/model/golden_test.cpp with PyTorch and transformers.

  python tests/golden/make.py     writes tests/golden/{mixtral,sigmoid,dense}.h5

Each fixture holds the configuration as YAML, tokens and targets, every parameter (fp32 values, in this project's names),
the selection bias, and logits, loss and the gradient of every parameter, computed in float64 from those fp32 values and rounded to fp32.
Made with the versions stored in the attribute `versions`; no test needs PyTorch.
"""
import pathlib

import h5py
import numpy as np
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

HERE = pathlib.Path(__file__).parent
V, D, H, KV, T, B, F, E, K, L = 67, 48, 6, 2, 24, 4, 40, 5, 2, 2

MODEL = f"model: {{vocabulary: {V}, width: {D}, blocks: {L}, heads: {H}, kv_heads: {KV}, context: {T}, " \
    f"hidden: {F}, activation: swiglu, tied: false, norm_epsilon: 1.0e-5}}\n"
TRAIN = f"train: {{batch: {B}, grains: 2, evaluate_every: 0}}\n"
CONFIGS = {
    "mixtral": MODEL + f"moe: {{experts: {E}, top_k: {K}, every: 1, hidden: {F}, router: softmax, normalise: after}}\n" + TRAIN,
    "sigmoid": MODEL + f"moe: {{experts: {E}, top_k: {K}, every: 2, hidden: {F}, router: sigmoid, "
               f"normalise: after, scale: 2.5, bias_rule: sign, shared_experts: 1}}\n" + TRAIN,
    "dense": MODEL + "moe: {experts: 0}\n" + TRAIN,
}


class SigmoidMoe(torch.nn.Module):
    """DeepSeek-V3's rule: select on sigmoid + bias, weigh with the unbiased sigmoid over its selected sum, times a scale;
    one shared expert beside the routed ones."""

    def __init__(self):
        super().__init__()
        p = lambda *s: torch.nn.Parameter(torch.empty(*s))
        self.router, self.gate, self.up, self.down = p(E, D), p(E, F, D), p(E, F, D), p(E, D, F)
        self.shared_gate, self.shared_up, self.shared_down = p(F, D), p(F, D), p(D, F)
        self.register_buffer("bias", torch.linspace(-0.2, 0.2, E))

    def forward(self, x):
        n = x.reshape(-1, D)
        s = torch.sigmoid(n @ self.router.T)
        chosen = (s + self.bias).topk(K, -1).indices
        w = s.gather(1, chosen)
        w = 2.5 * w / (w.sum(-1, keepdim=True) + 1e-20)
        act = torch.nn.functional.silu
        y = (act(n @ self.shared_gate.T) * (n @ self.shared_up.T)) @ self.shared_down.T
        for e in range(E):
            t, c = (chosen == e).nonzero(as_tuple=True)
            h = act(n[t] @ self.gate[e].T) * (n[t] @ self.up[e].T)
            y = y.index_add(0, t, w[t, c, None] * (h @ self.down[e].T))
        return y.view_as(x)


def attention_names(hf, ours):
    names = {f"{hf}.self_attn.{a}_proj.weight": f"{ours}.attention.{a}.weight" for a in "qkvo"}
    names |= {f"{hf}.input_layernorm.weight": f"{ours}.attention_norm.weight"}
    return names | {f"{hf}.post_attention_layernorm.weight": f"{ours}.feed_forward_norm.weight"}


def renamed(model):
    """{our name: (tensor, slice)} of every parameter; a slice cuts what transformers keeps fused."""
    names = {"model.embed_tokens.weight": "embedding.weight", "model.norm.weight": "final_norm.weight", "lm_head.weight": "head.weight"}
    for b in range(L):
        names |= attention_names(f"model.layers.{b}", f"blocks.{b}")
    out = {}
    for name, p in model.named_parameters():
        if name in names:
            out[names[name]] = (p, slice(None))
            continue
        _, _, b, rest = name.split(".", 3)
        ours = f"blocks.{b}."
        last = rest.split(".")[-1] if not rest.endswith("weight") else rest.split(".")[-2]
        if isinstance(model.model.layers[int(b)].mlp, SigmoidMoe):
            table = {"router": "moe.router.weight", "shared_gate": "moe.shared.gate.weight", "shared_up": "moe.shared.up.weight",
                     "shared_down": "moe.shared.down.weight"}
            out[ours + table.get(last, f"moe.experts.{last}.weight")] = (p, slice(None))
        elif last == "gate_up_proj":
            out[ours + "moe.experts.gate.weight"] = (p, (slice(None), slice(0, F)))
            out[ours + "moe.experts.up.weight"] = (p, (slice(None), slice(F, 2 * F)))
        elif "experts" in rest and last == "down_proj":
            out[ours + "moe.experts.down.weight"] = (p, slice(None))
        elif last == "gate":
            out[ours + "moe.router.weight"] = (p, slice(None))
        elif last in ("gate_proj", "up_proj", "down_proj"):
            out[ours + f"feed_forward.{last[:-5]}.weight"] = (p, slice(None))
        else:
            raise SystemExit(f"no name for {name}")
    return out


def build(kind):
    common = dict(vocab_size=V, hidden_size=D, intermediate_size=F, num_hidden_layers=L, num_attention_heads=H,
                  num_key_value_heads=KV, max_position_embeddings=T, rms_norm_eps=1e-5, rope_theta=1e4,
                  tie_word_embeddings=False, attn_implementation="eager")
    if kind == "mixtral":
        model = MixtralForCausalLM(MixtralConfig(num_local_experts=E, num_experts_per_tok=K, experts_implementation="eager", **common))
    else:
        model = LlamaForCausalLM(LlamaConfig(**common))
        if kind == "sigmoid":
            model.model.layers[1].mlp = SigmoidMoe()
    generator = torch.Generator().manual_seed(7)
    for p in model.parameters():
        with torch.no_grad():
            scale = 0.3 if p.dim() == 1 else 1.5 / p.shape[-1] ** 0.5
            p.copy_(torch.randn(p.shape, generator=generator) * scale + (1.0 if p.dim() == 1 else 0.0))
    return model.to(torch.float64)


def write(kind):
    model = build(kind)
    ids = torch.randint(V, (B, T + 1), generator=torch.Generator().manual_seed(11))
    logits = model(ids[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, V), ids[:, 1:].reshape(-1))
    loss.backward()
    with h5py.File(HERE / f"{kind}.h5", "w") as f:
        f.attrs["config"] = CONFIGS[kind]
        f.attrs["versions"] = f"torch {torch.__version__}, transformers {transformers.__version__}, numpy {np.__version__}"
        f["tokens"], f["targets"] = ids[:, :-1].int().numpy(), ids[:, 1:].int().numpy()
        f["logits"], f["loss"] = logits.detach().numpy().astype(np.float32), loss.item()
        if kind == "sigmoid":
            f["bias"] = model.model.layers[1].mlp.bias.double().numpy().astype(np.float32)
        for name, (p, cut) in sorted(renamed(model).items()):
            f[f"parameters/{name}"] = p.detach().numpy()[cut].astype(np.float32)
            f[f"gradients/{name}"] = p.grad.numpy()[cut].astype(np.float32)
    print(kind, "loss", loss.item(), "parameters", len(renamed(model)))


if __name__ == "__main__":
    for kind in CONFIGS:
        write(kind)
