"""The opponent of `switchyard bench layer` on a GPU: forward and backward of one mixture of experts in PyTorch, compiled, and its six
grouped products alone, by request (serve.py): "run N", "products N"."""
import torch
import torch.nn.functional as F
from torch import nn

from grouped import Grouping, expert_runner
from moments import kind, peak_mib, timed
from problem import Problem, arguments
from serve import Answers


def matrices(*shape):
    return torch.randn(*shape) * shape[-1] ** -0.5


class Layer(nn.Module):
    """Softmax over the experts, the top k of them, weights that sum to one."""

    def __init__(self, args, router):
        super().__init__()
        self.k, self.gated = args.top_k, args.activation == "swiglu"
        d, h, experts = args.width, args.hidden, args.experts
        self.router = nn.Parameter(router)
        self.up = nn.Parameter(matrices(experts, h * (2 if self.gated else 1), d))
        self.down = nn.Parameter(matrices(experts, d, h))

    def forward(self, x):
        weight, chosen = F.softmax((x @ self.router.t()).float(), -1).topk(self.k, -1)
        weight = (weight / weight.sum(-1, keepdim=True)).to(x.dtype)
        grouping = Grouping(chosen, self.router.shape[0])
        y = expert_runner(x.dtype)(grouping.rows(x), self.up, self.down, grouping.ends, self.gated)
        y = y * weight.reshape(-1)[grouping.order].unsqueeze(-1)
        return grouping.home(y).sum(1)


class Products:
    """Those of a pass, on rows of the same loads."""

    def __init__(self, layer, problem):
        a, element = problem.args, layer.up.dtype
        rows = a.tokens * a.top_k
        make = lambda width: (torch.randn(rows, width) * 0.2).to(a.device, element)
        self.ends, self.up, self.down = problem.ends(), layer.up.detach(), layer.down.detach()
        self.x, self.hidden, self.d_up, self.d_out = make(a.width), make(a.hidden), make(self.up.shape[1]), make(a.width)

    def run(self):
        product = lambda a, b: torch._grouped_mm(a, b, offs=self.ends)
        product(self.x, self.up.transpose(-2, -1))
        product(self.hidden, self.down.transpose(-2, -1))
        product(self.d_out, self.down)
        product(self.d_up, self.up)
        product(self.d_out.t(), self.hidden)
        product(self.d_up.t(), self.x)


def main():
    args = arguments(__doc__)
    answers = Answers()
    torch.manual_seed(1)
    problem = Problem(args)
    with torch.device(args.device):
        layer = Layer(args, problem.router().to(args.device)).to(problem.element)
    run = layer if args.form == "eager" else torch.compile(layer)
    pass_ = lambda: problem.run(run)
    for _ in range(4):
        pass_()
    products = Products(layer, problem)
    products.run()
    measures = {"run": lambda n: timed(args.device, n, args.queued, pass_),
                "products": lambda n: timed(args.device, n, args.queued, products.run)}
    answers.serve({**kind(args.device), **problem.ready(), "peak_mib": peak_mib(args.device)}, measures)


if __name__ == "__main__":
    main()
