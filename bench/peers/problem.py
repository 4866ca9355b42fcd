"""The problem that opponents of `switchyard bench layer` share: the same loads, by the same trick: a token's input is large at the numbers
of its experts, and the router reads expert e off number e (src/bench/layer_rig.hpp)."""
import argparse

import torch

import loads

ELEMENTS = {"bf16": torch.bfloat16, "fp32": torch.float32}
NOISE, SHARPNESS, INPUTS = 0.35, 4.0, 3


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("tokens", 4096), ("width", 128), ("hidden", 512), ("experts", 8), ("top-k", 1), ("queued", 3)):
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--load", choices=loads.NAMES, default="jittered")
    parser.add_argument("--activation", choices=("swiglu", "gelu"), default="swiglu")
    parser.add_argument("--precision", choices=ELEMENTS, default="bf16")
    parser.add_argument("--form", choices=("eager", "compile"), default="compile")
    parser.add_argument("--device", default="cuda", help="cpu: to try the script where there is no GPU")
    args = parser.parse_args()
    if args.experts > args.width:
        parser.error(f"--experts is {args.experts}, more than --width {args.width}: loads are forced by a number of the input each")
    return args


class Problem:
    """Inputs and gradients (T, d)."""

    def __init__(self, args):
        self.args, self.element = args, ELEMENTS[args.precision]
        self.loads = loads.expert_loads(args.load, args.tokens, args.experts, args.top_k)
        choices = loads.forced_choices(self.loads, args.tokens, args.top_k)
        self.digest = loads.digest_of(choices)
        mark = torch.zeros(args.tokens, args.width).scatter_(1, torch.tensor(choices), 1.0)
        self.inputs = [(self.noise() + mark).to(args.device, self.element).requires_grad_() for _ in range(INPUTS)]
        self.d_out = self.noise().to(args.device, self.element)
        self.number = 0

    def noise(self):
        return (torch.rand(self.args.tokens, self.args.width) * 2.0 - 1.0) * NOISE

    def router(self):
        return torch.eye(self.args.experts, self.args.width) * SHARPNESS

    def ends(self):
        """(E) where the rows of each expert end, on the device."""
        return torch.tensor(self.loads).cumsum(0).to(self.args.device, torch.int32)

    def run(self, layer):
        """Forward and backward of a layer, on one of the inputs in turn; gradients are made anew."""
        x = self.inputs[self.number % INPUTS]
        self.number += 1
        x.grad = None
        for parameter in layer.parameters():
            parameter.grad = None
        layer(x).backward(self.d_out)

    def flop(self):
        a = self.args
        return (18.0 if a.activation == "swiglu" else 12.0) * a.tokens * a.top_k * a.width * a.hidden

    def ready(self):
        a = self.args
        return {"what": "layer", "tokens": a.tokens, "width": a.width, "hidden": a.hidden, "experts": a.experts, "top_k": a.top_k,
                "activation": a.activation, "load": a.load, "precision": a.precision, "queued": a.queued, "form": a.form,
                "least_load": min(self.loads), "largest_load": max(self.loads), "choices": str(self.digest), "flop": self.flop()}
