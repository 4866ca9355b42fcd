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

from transformer import Model, Selection, even_out, read_size


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


class Experts(Selection):
    def __init__(self, size, form):
        super().__init__(size)
        self.form = form
        self.up = nn.Parameter(torch.randn(size.experts, size.width, size.expert_hidden) * 0.02)
        self.down = nn.Parameter(torch.randn(size.experts, size.expert_hidden, size.width) * 0.02)

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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=("XS", "S"))
    parser.add_argument("experts", type=int)
    parser.add_argument("form")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=11)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    size, (form, *compiled) = read_size(args.size, [f"moe.experts={args.experts}"]), args.form.split("+")
    model = Model(size, lambda of: Experts(of, form))
    batches = [torch.randint(size.vocabulary, (size.batch, size.context + 1)) for _ in range(4)]
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
    print(json.dumps(dict(peer="torch " + torch.__version__, size=args.size, experts=args.experts, form=args.form, threads=args.threads,
                          tokens_per_s=round(size.tokens / statistics.median(times)), tokens_per_s_most=round(size.tokens / times[0]),
                          step_ms=round(statistics.median(times) * 1e3, 1), repetitions=args.repetitions)), flush=True)


if __name__ == "__main__":
    main()
