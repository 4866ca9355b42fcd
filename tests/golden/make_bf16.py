"""Makes the golden fixture of bf16 of tests/model/golden_test.cpp with PyTorch.

  make_bf16.py           writes tests/golden/bf16.h5
  make_bf16.py --show    instead shows what each rounding point is worth: how far results are from those of the fixture where it is
                         left out, or where something is rounded that is not

What is rounded becomes a torch.bfloat16, and everything between two roundings is in float64: `train.precision: bf16`
(docs/architecture.md) with exact sums. Whatever sums floats instead now and then rounds a value to the other side, and the values made of
it too. So the model is tiny, and there are several batches: in some no value is rounded otherwise, and then all results agree to a
millionth, while a rounding point too many or too few moves some tensor of every batch by 2.7 thousandths or more. A batch has its results
twice, since the kernels of a GPU keep in registers what a host writes down as bf16, and round for tensor cores what a host has as floats:

  host     the preactivations of a network and the gradient of its hidden rows are rounded; the gradient of an expert's rows is once more
           between its two products
  device   these are not; probabilities of attention and gradients of its scores are

Without any rounding the model here has the results of transformers in {mixtral,sigmoid}.h5, or this ends with an error.
"""
import argparse
import pathlib
import re

import h5py
import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
BATCHES, V, D, T, B, F, E = 8, 32, 16, 4, 2, 16, 4
CONFIG = f"""model: {{vocabulary: {V}, width: {D}, blocks: 2, heads: 1, kv_heads: 1, context: {T}, hidden: {F}, activation: swiglu, \
tied: false, norm_epsilon: 1.0e-5}}
moe: {{experts: {E}, top_k: 2, every: 2, hidden: {F}, router: sigmoid, normalise: after, shared_experts: 1}}
train: {{batch: {B}, grains: 2, precision: bf16, evaluate_every: 0}}
"""
HOST = ("preactivations", "gradients of hidden rows", "gradients of experts' rows, between")
DEVICE = ("probabilities", "gradients of scores")
BOTH = ("weights", "normed rows", "queries, keys, values", "turned queries and keys", "outputs of attention", "slopes", "hidden rows",
        "outputs of experts", "logits", "gradients of logits", "the stream's gradient for products", "gradients of outputs of experts",
        "gradients of preactivations", "gradients of experts' rows", "gradients of outputs of attention",
        "gradients of queries, keys, values")
NEVER = ("the stream", "the stream's gradient", "gradients of normed rows", "weights of norms", "weights of routers", "logits of routers",
         "weights of choices")
points = frozenset()  # what is rounded now


def at(point, x):
    """x as it is after a rounding point: rounded, if that is one now."""
    assert point in BOTH + HOST + DEVICE + NEVER, point
    return x.to(torch.bfloat16).double() if point in points else x


class Rounding(torch.autograd.Function):
    """Values rounded at one point, gradients at another; None: not."""

    @staticmethod
    def forward(ctx, x, forward, backward):
        ctx.point = backward
        return at(forward, x) if forward else x.clone()

    @staticmethod
    def backward(ctx, d):
        return at(ctx.point, d) if ctx.point else d, None, None


rounding = Rounding.apply


class Swiglu(torch.autograd.Function):
    """silu(gate)·up, which keeps its slopes."""

    @staticmethod
    def forward(ctx, gate, up):
        gate, up = at("preactivations", gate), at("preactivations", up)
        s = torch.sigmoid(gate)
        swish = gate * s
        ctx.save_for_backward(at("slopes", up * s * (1 + gate * (1 - s))), at("slopes", swish))
        return at("hidden rows", swish * up)

    @staticmethod
    def backward(ctx, d):
        d = at("gradients of hidden rows", d)
        return tuple(at("gradients of preactivations", slope * d) for slope in ctx.saved_tensors)


class Causal(torch.autograd.Function):
    """Attention of q, k, v (B, heads, T, D), whose backward pass has Σ dout·out of rounded outputs."""

    @staticmethod
    def forward(ctx, q, k, v):
        scale = q.shape[-1] ** -0.5
        after = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).triu(1)
        scores = (q @ k.transpose(-2, -1) * scale).masked_fill(after, -torch.inf)
        exponentials = torch.exp(scores - scores.amax(-1, keepdim=True))
        out = at("outputs of attention", at("probabilities", exponentials) @ v / exponentials.sum(-1, keepdim=True))
        ctx.save_for_backward(q, k, v, out, torch.softmax(scores, -1))
        return out

    @staticmethod
    def backward(ctx, d):
        q, k, v, out, p = ctx.saved_tensors
        d = at("gradients of outputs of attention", d)
        ds = at("gradients of scores", p * (d @ v.transpose(-2, -1) - (d * out).sum(-1, keepdim=True)))
        scale = q.shape[-1] ** -0.5
        return ds @ k * scale, ds.transpose(-2, -1) @ q * scale, at("probabilities", p).transpose(-2, -1) @ d


def norm(x, weight, epsilon):
    y = x * (x.square().mean(-1, keepdim=True) + epsilon).rsqrt() * at("weights of norms", weight)
    return rounding(y, "normed rows", "gradients of normed rows")


def turn(x):
    """Queries or keys (B, heads, T, D) by their positions."""
    half = x.shape[-1] // 2
    angle = torch.outer(torch.arange(x.shape[2]).double(), 1e4 ** (-torch.arange(half).double() / half)).repeat(1, 2)
    turned = x * angle.cos() + torch.cat((-x[..., half:], x[..., :half]), -1) * angle.sin()
    return rounding(turned, "turned queries and keys", None)


class Model:
    """Of a configuration, with these parameters."""

    def __init__(self, config, parameters, bias=0.0):
        option = lambda name, otherwise=None: (re.search(rf"\b{name}: ([^,}}]+)", config) or [0, otherwise])[1]
        self.blocks, self.heads, self.kv_heads = int(option("blocks")), int(option("heads")), int(option("kv_heads"))
        self.every, self.k, self.router = int(option("every")), int(option("top_k")), option("router")
        self.epsilon, self.scale, self.bias = float(option("norm_epsilon")), float(option("scale", 1)), bias
        self.masters = {name: torch.tensor(value).double().requires_grad_() for name, value in parameters.items()}

    def weight(self, name):
        """As products read it."""
        return rounding(self.masters[name + ".weight"], "weights", None)

    def norm(self, x, name):
        return norm(x, self.masters[name + ".weight"], self.epsilon)

    def attention(self, x, name):
        def heads(part, count):
            y = rounding(x @ self.weight(f"{name}.{part}").T, "queries, keys, values", "gradients of queries, keys, values")
            return y.unflatten(-1, (count, -1)).transpose(1, 2)
        q, k, v = turn(heads("q", self.heads)), turn(heads("k", self.kv_heads)), heads("v", self.kv_heads)
        group = self.heads // self.kv_heads
        out = Causal.apply(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1))
        return self.joining(out.transpose(1, 2).flatten(2) @ self.weight(f"{name}.o").T)

    @staticmethod
    def joining(y):
        """What a product adds to the stream."""
        return rounding(y, None, "the stream's gradient for products")

    def network(self, x, name):
        hidden = Swiglu.apply(x @ self.weight(f"{name}.gate").T, x @ self.weight(f"{name}.up").T)
        return self.joining(hidden @ self.weight(f"{name}.down").T)

    def choices(self, x, name):
        """Weights and experts (N, k): the k best of sigmoids and bias by their share, or a softmax over the k best logits."""
        logits = rounding(x @ at("weights of routers", self.masters[f"{name}.router.weight"]).T, "logits of routers", None)
        score = torch.sigmoid(logits) if self.router == "sigmoid" else logits
        chosen = (score + self.bias).topk(self.k, -1).indices
        score = score.gather(1, chosen)
        weight = score / score.sum(-1, keepdim=True) * self.scale if self.router == "sigmoid" else torch.softmax(score, -1)
        return rounding(weight, "weights of choices", None), chosen

    def mixture(self, x, name):
        flat = x.flatten(0, 1)
        weight, chosen = self.choices(flat, name)
        gate, up, down = (self.weight(f"{name}.experts.{part}") for part in ("gate", "up", "down"))
        y = torch.zeros_like(flat)
        for expert in range(len(up)):
            token, choice = (chosen == expert).nonzero(as_tuple=True)
            rows = rounding(flat[token], None, "gradients of experts' rows")
            hidden = Swiglu.apply(rows @ gate[expert].T,
                                  rounding(rows, None, "gradients of experts' rows, between") @ up[expert].T)
            out = rounding(hidden @ down[expert].T, "outputs of experts", "gradients of outputs of experts")
            y = y.index_add(0, token, weight[token, choice, None] * out)
        y = y.view_as(x)
        return y + self.network(x, f"{name}.shared") if f"{name}.shared.up.weight" in self.masters else y

    def run(self, tokens, targets):
        """Logits before they are rounded, and the loss."""
        stream = lambda x: rounding(x, "the stream", "the stream's gradient")
        x = stream(self.weight("embedding")[tokens])
        for b in range(self.blocks):
            x = stream(x + self.attention(self.norm(x, f"blocks.{b}.attention_norm"), f"blocks.{b}.attention"))
            n = self.norm(x, f"blocks.{b}.feed_forward_norm")
            mixture = (b + 1) % self.every == 0
            x = stream(x + (self.mixture(n, f"blocks.{b}.moe") if mixture else self.network(n, f"blocks.{b}.feed_forward")))
        logits = self.norm(x, "final_norm") @ self.weight("head").T
        rounded = rounding(logits, "logits", "gradients of logits")
        return logits, torch.nn.functional.cross_entropy(rounded.flatten(0, 1), targets.flatten())


def results(config, parameters, batch, now, bias=0.0):
    """{name: array} of logits, loss and gradients of a batch, tokens (B, T) and targets, with these rounding points."""
    global points
    points = frozenset(now)
    model = Model(config, parameters, bias)
    logits, loss = model.run(*(torch.tensor(part).long() for part in batch))
    loss.backward()
    found = {"logits": logits.detach().numpy(), "loss": np.array(loss.item())}
    return found | {f"gradients/{name}": p.grad.numpy() for name, p in model.masters.items()}


def largest(a, b):
    """The largest relative difference of a tensor, and which it is of."""
    return max((float(np.linalg.norm(a[name] - b[name]) / np.linalg.norm(b[name])), name) for name in b)


def check(kind):
    """Whether the model here is that of transformers."""
    with h5py.File(HERE / f"{kind}.h5") as file:
        parameters = {name: value[:] for name, value in file["parameters"].items()}
        bias = torch.tensor(file["bias"][:]).double() if "bias" in file else 0.0
        found = results(file.attrs["config"], parameters, (file["tokens"][:], file["targets"][:]), (), bias)
        difference, name = largest(found, {name: file[name][()] for name in found})
    if difference > 1e-5:
        raise SystemExit(f"{kind}: {name} differs from that of transformers by {difference:.1e} without any rounding")


def make_parameters():
    """fp32 values in this project's names: matrices keep the size of what they multiply, and experts are told apart by a tenth or more."""
    shapes = {"embedding": (V, D), "final_norm": (D,), "head": (V, D), "blocks.1.moe.router": (E, D)}
    for b in range(2):
        shapes |= {f"blocks.{b}.attention.{part}": (D, D) for part in "qkvo"}
        shapes |= {f"blocks.{b}.attention_norm": (D,), f"blocks.{b}.feed_forward_norm": (D,)}
    for name, lead in (("blocks.0.feed_forward", ()), ("blocks.1.moe.experts", (E,)), ("blocks.1.moe.shared", ())):
        shapes |= {f"{name}.gate": (*lead, F, D), f"{name}.up": (*lead, F, D), f"{name}.down": (*lead, D, F)}
    generator = torch.Generator().manual_seed(7)
    random = lambda shape: torch.randn(shape, generator=generator) * (0.3 if len(shape) == 1 else shape[-1] ** -0.5)
    return {f"{name}.weight": (random(shape) + (len(shape) == 1)).numpy() for name, shape in sorted(shapes.items())}


def show(parameters, batches):
    for side, own in (("host", HOST), ("device", DEVICE)):
        now = BOTH + own
        whole = [results(CONFIG, parameters, batch, now) for batch in batches]
        for point in now + NEVER:
            changed = [results(CONFIG, parameters, batch, set(now) ^ {point}) for batch in batches]
            least, most = min(map(largest, changed, whole)), max(map(largest, changed, whole))
            print(f"{side:6} {'without' if point in now else 'also':8} {point:40} {least[0]:.1e} ({least[1]}) to {most[0]:.1e}", flush=True)


def write(parameters, batches):
    with h5py.File(HERE / "bf16.h5", "w") as file:
        file.attrs["config"] = CONFIG
        file.attrs["versions"] = f"torch {torch.__version__}, numpy {np.__version__}"
        file["tokens"], file["targets"] = (np.array(part, np.int32) for part in zip(*batches))
        for name, value in parameters.items():
            file[f"parameters/{name}"] = value
        for side, own in (("host", HOST), ("device", DEVICE)):
            found = [results(CONFIG, parameters, batch, BOTH + own) for batch in batches]
            for name in found[0]:
                file[f"{side}/{name}"] = np.array([of_batch[name] for of_batch in found], np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    check("mixtral")
    check("sigmoid")
    ids = torch.randint(V, (BATCHES, B, T + 1), generator=torch.Generator().manual_seed(11)).numpy()
    (show if args.show else write)(make_parameters(), [(of_batch[:, :-1], of_batch[:, 1:]) for of_batch in ids])


if __name__ == "__main__":
    main()
