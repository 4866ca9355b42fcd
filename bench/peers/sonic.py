"""SonicMoE as an opponent of `switchyard bench layer`, where it can be imported (PyPI: sonic-moe), gated; by request (serve.py):
"run N". It compiles and tunes itself for minutes before it is ready. Where it is not there it says so and ends well."""
import json

import torch
from torch import nn

from moments import kind, peak_mib, timed
from problem import Problem, arguments
from serve import Answers


class Layer(nn.Module):
    """`sonic`: its modules."""

    def __init__(self, args, router, sonic):
        super().__init__()
        moe, self.activation, self.run = sonic
        self.k = args.top_k
        self.moe = moe(num_experts=args.experts, num_experts_per_tok=args.top_k, hidden_size=args.width, intermediate_size=args.hidden,
                       activation_function=self.activation, add_bias=False, std=0.02)
        with torch.no_grad():
            self.moe.router.weight.copy_(router)

    def forward(self, x):
        moe = self.moe
        up, down = moe.c_fc.weight.permute(1, 2, 0), moe.c_proj.weight.permute(1, 2, 0)
        return self.run(x, moe.router.weight, up, None, down, None, self.k, moe.stream_id, self.activation)[0]


def find_sonic():
    from sonicmoe import MoE
    from sonicmoe.enums import ActivationType
    from sonicmoe.functional import moe_TC_softmax_topk_layer
    return MoE, ActivationType.SWIGLU, moe_TC_softmax_topk_layer


def main():
    args = arguments(__doc__)
    try:
        sonic = find_sonic()
    except ImportError as error:
        print(json.dumps({"ready": False, "peer": "sonic-moe", "why": f"not run: {error}"}), flush=True)
        return
    if args.activation != "swiglu":
        print(json.dumps({"ready": False, "peer": "sonic-moe", "why": "not run: its experts are gated"}), flush=True)
        return
    answers = Answers()
    torch.manual_seed(1)
    problem = Problem(args)
    layer = Layer(args, problem.router(), sonic).to(args.device, problem.element)
    run = lambda: problem.run(layer)
    for _ in range(4):
        run()
    answers.serve({**kind(args.device), **problem.ready(), "peer": "sonic-moe", "form": "sonic", "peak_mib": peak_mib(args.device)},
                  {"run": lambda n: timed(args.device, n, args.queued, run)})


if __name__ == "__main__":
    main()
