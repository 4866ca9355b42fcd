"""The transformer of one of our configuration files in PyTorch: what the opponents on the CPU (torch_step.py) and on a GPU (step_gpu.py)
have in common. A mixture of experts is a Selection that computes its experts in its own way."""
import dataclasses
import pathlib
import re

import torch
import torch.nn.functional as F
from torch import nn

BENCH = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass
class Size:
    """Of a model; `experts` at most 1 makes every block dense."""
    width: int
    blocks: int
    heads: int
    context: int
    vocabulary: int
    hidden: int
    experts: int
    top_k: int
    every: int
    expert_hidden: int
    batch: int
    normalise: bool
    gated: bool
    tied: bool

    @property
    def tokens(self):
        return self.batch * self.context

    def has_experts(self, block):
        return self.experts > 1 and (block + 1) % self.every == 0


def sections(path):
    """{section: {option: text}} of a file like bench/xs.yaml, whose sections are one line `name: {option: value, ...}` each."""
    found = {}
    for line in pathlib.Path(path).read_text().splitlines():
        line = line.split("#")[0].rstrip()
        if not line:
            continue
        matched = re.fullmatch(r"(\w+): \{(.*)\}", line)
        if not matched:
            raise SystemExit(f"{path}: '{line}' is no section on one line; write `name: {{option: value, ...}}`")
        found[matched[1]] = dict(pair.strip().split(": ", 1) for pair in matched[2].split(","))
    return found


def read_size(name, overrides=()):
    """Of bench/<name>.yaml, or of a file; with overrides `section.option=value`, as our own program takes them."""
    path = BENCH / f"{name.lower()}.yaml"
    found = sections(path if path.exists() else name)
    for override in overrides:
        key, value = override.split("=", 1)
        section, option = key.split(".", 1)
        found.setdefault(section, {})[option] = value
    model, moe, train = found["model"], found["moe"], found["train"]
    if moe.get("router") != "sigmoid":
        raise SystemExit(f"{name}: moe.router: is {moe.get('router')}; the opponent scores by sigmoids alone")
    return Size(
        width=int(model["width"]), blocks=int(model["blocks"]), heads=int(model["heads"]), context=int(model["context"]),
        vocabulary=int(model["vocabulary"]), hidden=int(model["hidden"]), experts=int(moe["experts"]), top_k=int(moe["top_k"]),
        every=int(moe.get("every", 1)), expert_hidden=int(moe["hidden"]), batch=int(train["batch"]),
        normalise=moe.get("normalise") == "after", gated=model["activation"] == "swiglu", tied=model.get("tied", "true") == "true")


class Selection(nn.Module):
    """Sigmoid scores, ranked with a bias that evens out the loads without a loss."""

    def __init__(self, size):
        super().__init__()
        self.experts, self.k, self.normalise = size.experts, size.top_k, size.normalise
        self.router = nn.Parameter(torch.randn(size.experts, size.width) * 0.02)
        self.register_buffer("bias", torch.zeros(size.experts))

    def select(self, x):
        """Combine weights and experts (N, k) of x(N, d), in fp32."""
        with torch.autocast(x.device.type, enabled=False):
            score = torch.sigmoid(x.float() @ self.router.t())
        chosen = (score.detach() + self.bias).topk(self.k, -1).indices
        weight = score.gather(1, chosen)
        return (weight / weight.sum(-1, keepdim=True) if self.normalise else weight), chosen

    @torch.no_grad()
    def even_out(self, x):
        """Brings the bias to where a balanced run has it."""
        rate = 0.05
        for _ in range(200):
            load = torch.bincount(self.select(x)[1].flatten(), minlength=self.experts).float()
            self.bias += rate * (1 - load / load.mean()).clamp(-1, 1)
            rate *= 0.97


class Dense(nn.Module):
    """A dense network, gated or not."""

    def __init__(self, size):
        super().__init__()
        self.gated = size.gated
        self.up = nn.Linear(size.width, size.hidden * (2 if size.gated else 1), bias=False)
        self.down = nn.Linear(size.hidden, size.width, bias=False)

    def forward(self, x):
        hidden = self.up(x)
        if self.gated:
            gate, up = hidden.chunk(2, -1)
            return self.down(F.silu(gate) * up)
        return self.down(F.gelu(hidden))


class Block(nn.Module):
    def __init__(self, size, experts):
        super().__init__()
        d = size.width
        self.heads = size.heads
        self.norm1, self.norm2 = nn.RMSNorm(d), nn.RMSNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.mixture = experts is not None
        self.feed = experts if self.mixture else Dense(size)

    def forward(self, x, cos, sin):
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        half = q.shape[-1] // 2
        turn = lambda u: (u * cos + torch.cat((-u[..., half:], u[..., :half]), -1) * sin).to(u.dtype)
        a = F.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(b, t, d))
        n = self.norm2(x)
        return x + (self.feed(n.reshape(-1, d)).view(b, t, d) if self.mixture else self.feed(n))


class Model(nn.Module):
    """`make_experts(size)` makes a block's mixture, a Selection."""

    def __init__(self, size, make_experts):
        super().__init__()
        self.size = size
        self.embedding = nn.Embedding(size.vocabulary, size.width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(size, make_experts(size) if size.has_experts(b) else None) for b in range(size.blocks))
        self.norm = nn.RMSNorm(size.width)
        self.head = None if size.tied else nn.Linear(size.width, size.vocabulary, bias=False)
        dim = size.width // size.heads
        angle = torch.outer(torch.arange(size.context).float(), 1e4 ** (-torch.arange(0, dim, 2) / dim)).repeat(1, 2)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, ids):
        """The loss of ids(B, T + 1)."""
        x = self.embedding(ids[:, :-1])
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        x = self.norm(x)
        logits = F.linear(x, self.embedding.weight) if self.head is None else self.head(x)
        return F.cross_entropy(logits.view(-1, self.size.vocabulary).float(), ids[:, 1:].reshape(-1))


def even_out(model, data):
    """Brings the selection bias of each layer to where a balanced run has it, one after the other."""
    was = model.training
    model.eval()
    for layer in model.modules():
        if isinstance(layer, Selection):
            hook = layer.register_forward_pre_hook(lambda m, args: m.even_out(args[0]))
            with torch.no_grad():
                model(data)
            hook.remove()
    model.train(was)
