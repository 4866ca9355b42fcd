"""A mixture of experts in PyTorch without a host that waits: grouped products whose offsets stay on the device, so that a step can be
one CUDA graph."""
import torch
import torch.nn.functional as F
from torch import nn

from transformer import Selection


class Grouping:
    """Rows of choices(N, k) in the order of their experts."""

    def __init__(self, chosen, experts):
        flat = chosen.flatten()
        self.k = chosen.shape[1]
        self.order = flat.argsort(stable=True)
        self.counts = torch.histc(flat.float(), experts, 0, experts)
        self.ends = self.counts.cumsum(0).to(torch.int32)

    def rows(self, x):
        """(N * k, d) of x(N, d)."""
        return x[self.order // self.k]

    def home(self, y):
        """(N, k, d) of rows(N * k, d)."""
        back = torch.empty_like(self.order).scatter_(0, self.order, torch.arange(self.order.numel(), device=y.device))
        return y[back].view(-1, self.k, y.shape[1])


def run_experts(rows, up, down, ends, gated):
    """rows(R, d) through up(E, h or 2h, d) and down(E, d, h)."""
    hidden = torch._grouped_mm(rows, up.transpose(-2, -1), offs=ends)
    if gated:
        gate, linear = hidden.chunk(2, -1)
        hidden = F.silu(gate) * linear
    else:
        hidden = F.gelu(hidden)
    return torch._grouped_mm(hidden, down.transpose(-2, -1), offs=ends)


# Graphs have no grouped products of floats (PyTorch 2.11): what is compiled leaves them out, and cannot be captured.
run_experts_outside = torch.compiler.disable(run_experts)


def expert_runner(element):
    return run_experts if element == torch.bfloat16 else run_experts_outside


class GroupedExperts(Selection):
    """Of a transformer: weights are fp32, products of the element of autocast."""

    def __init__(self, size, bias_rate=0.001):
        super().__init__(size)
        d, h, experts = size.width, size.expert_hidden, size.experts
        self.gated, self.bias_rate = size.gated, bias_rate
        self.up = nn.Parameter(torch.randn(experts, h * (2 if size.gated else 1), d) * 0.02)
        self.down = nn.Parameter(torch.randn(experts, d, h) * 0.02)

    def forward(self, x):
        weight, chosen = self.select(x)
        grouping = Grouping(chosen, self.experts)
        if self.training:
            with torch.no_grad():
                self.bias += self.bias_rate * torch.sign(grouping.counts.mean() - grouping.counts)
        element = torch.bfloat16 if torch.is_autocast_enabled(x.device.type) else torch.float32
        run = expert_runner(element)
        y = run(grouping.rows(x.to(element)), self.up.to(element), self.down.to(element), grouping.ends, self.gated)
        return (grouping.home(y) * weight.to(element).unsqueeze(-1)).sum(1)
