"""The opponent of `switchyard bench step`: whole training steps of the same models in PyTorch on the CPU, tokens per second.

  torch_step.py SIZE E FORM [--repetitions N]     SIZE: XS | S; FORM: loop | grouped | padded, "+c" compiles the rest

Forms of the expert products: `loop` over experts; `grouped` = torch.nn.functional.grouped_mm; `padded` = one batched product
over buffers padded to the largest load. Sigmoid scores with a selection bias (as ours), fused AdamW, fp32, random tokens,
loads evened out before timing. bench/peers/run.sh sets the environment of a tuned PyTorch and takes the best form.
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

SIZES = {"XS": dict(d=128, heads=4, context=256, batch=16, hidden=512, k=1),
         "S": dict(d=512, heads=8, context=512, batch=4, hidden=2048, k=2)}
VOCABULARY, BLOCKS = 4096, 4


class Gather(torch.autograd.Function):
    """rows[index]; the backward is a gather along `inverse`, summed over `fold` copies (index_add is slow on CPUs)."""

    @staticmethod
    def forward(ctx, rows, index, inverse, fold):
        ctx.save_for_backward(inverse)
        ctx.fold = fold
        return rows[index]

    @staticmethod
    def backward(ctx, grad):
        back = grad[ctx.saved_tensors[0]]
        return (back.view(-1, ctx.fold, back.shape[1]).sum(1) if ctx.fold > 1 else back), None, None, None


class Experts(nn.Module):
    def __init__(self, size, experts, form):
        super().__init__()
        d, h = size["d"], size["hidden"]
        self.k, self.experts, self.form = size["k"], experts, form
        self.router = nn.Parameter(torch.randn(experts, d) * 0.02)
        self.up = nn.Parameter(torch.randn(experts, d, h) * 0.02)
        self.down = nn.Parameter(torch.randn(experts, h, d) * 0.02)
        self.register_buffer("bias", torch.zeros(experts))

    def select(self, x):
        score = torch.sigmoid(x @ self.router.t())
        with torch.no_grad():
            chosen = (score + self.bias).topk(self.k, -1).indices
        weight = score.gather(1, chosen)
        return (weight / weight.sum(-1, keepdim=True) if self.k > 1 else weight), chosen

    @torch.no_grad()
    def even_out(self, x):
        rate = 0.05
        for _ in range(200):
            load = torch.bincount(self.select(x)[1].flatten(), minlength=self.experts).float()
            self.bias += rate * (1 - load / load.mean()).clamp(-1, 1)
            rate *= 0.97

    def products(self, rows, counts):
        if self.form == "grouped":
            ends = counts.cumsum(0).to(torch.int32)
            return F.grouped_mm(F.gelu(F.grouped_mm(rows, self.up, offs=ends)), self.down, offs=ends)
        parts = rows.split(counts.tolist())
        return torch.cat([F.gelu(p @ u) @ w for p, u, w in zip(parts, self.up.unbind(0), self.down.unbind(0)) if len(p)])

    def padded(self, x, chosen):
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        counts = torch.bincount(flat, minlength=self.experts)
        first = counts.cumsum(0) - counts
        place = torch.arange(len(flat)) - first[flat[order]]
        buffer = x.new_zeros(self.experts, int(counts.max()), x.shape[1])
        buffer = buffer.index_put((flat[order], place), x[order // self.k])
        y = torch.bmm(F.gelu(torch.bmm(buffer, self.up)), self.down)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order))
        return y[flat[order], place][back]

    @torch.compiler.disable
    def run(self, x, chosen):
        if self.form == "padded":
            return self.padded(x, chosen)
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order))
        counts = torch.bincount(flat, minlength=self.experts)
        rows = Gather.apply(x, order // self.k, back, self.k)
        return Gather.apply(self.products(rows, counts), back, order, 1)

    def forward(self, x):
        weight, chosen = self.select(x)
        y = self.run(x, chosen).view(-1, self.k, x.shape[1])
        return (y * weight.unsqueeze(-1)).sum(1)


class Block(nn.Module):
    def __init__(self, size, experts, form):
        super().__init__()
        d, h = size["d"], size["hidden"]
        self.heads = size["heads"]
        self.norm1, self.norm2 = nn.RMSNorm(d), nn.RMSNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        dense = nn.Sequential(nn.Linear(d, h, bias=False), nn.GELU(), nn.Linear(h, d, bias=False))
        self.feed = Experts(size, experts, form) if experts > 1 else dense

    def forward(self, x, cos, sin):
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        turn = lambda u: u * cos + torch.cat((-u[..., u.shape[-1] // 2:], u[..., :u.shape[-1] // 2]), -1) * sin
        a = F.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(b, t, d))
        n = self.norm2(x)
        return x + (self.feed(n.view(-1, d)).view(b, t, d) if isinstance(self.feed, Experts) else self.feed(n))


class Model(nn.Module):
    def __init__(self, size, experts, form):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, size["d"])
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(size, experts if b % 2 else 0, form) for b in range(BLOCKS))
        self.norm = nn.RMSNorm(size["d"])
        dim = size["d"] // size["heads"]
        angle = torch.outer(torch.arange(size["context"]).float(), 1e4 ** (-torch.arange(0, dim, 2) / dim)).repeat(1, 2)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, ids):
        x = self.embedding(ids[:, :-1])
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = self.norm(x) @ self.embedding.weight.t()
        return F.cross_entropy(logits.view(-1, VOCABULARY), ids[:, 1:].reshape(-1))


def even_out(model, data):
    """Brings the selection bias of each layer to where a balanced run has it."""
    for layer in model.modules():
        if isinstance(layer, Experts):
            hook = layer.register_forward_pre_hook(lambda m, args: m.even_out(args[0]))
            with torch.no_grad():
                model(data)
            hook.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("experts", type=int)
    parser.add_argument("form")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=11)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    size, (form, *compiled) = SIZES[args.size], args.form.split("+")
    model = Model(size, args.experts, form)
    batches = [torch.randint(VOCABULARY, (size["batch"], size["context"] + 1)) for _ in range(4)]
    even_out(model, torch.cat(batches[:2]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1, fused=True)
    step = torch.compile(model) if compiled else model
    times = []
    for i in range(args.warmup + args.repetitions):
        start = time.perf_counter()
        step(batches[i % 4]).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - start)
    times = sorted(times[args.warmup:])
    tokens = size["batch"] * size["context"]
    print(json.dumps(dict(peer="torch " + torch.__version__, size=args.size, experts=args.experts, form=args.form, threads=args.threads,
                          tokens_per_s=round(tokens / statistics.median(times)), tokens_per_s_most=round(tokens / times[0]),
                          step_ms=round(statistics.median(times) * 1e3, 1), repetitions=args.repetitions)), flush=True)


if __name__ == "__main__":
    main()
