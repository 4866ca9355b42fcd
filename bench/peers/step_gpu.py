"""The opponent of `switchyard bench step` on a GPU: whole training steps of the same model in PyTorch, by request (serve.py): "run N".

  step_gpu.py CONFIG [section.option=value ...] [--precision bf16|fp32] [--form eager|compile|graph]

CONFIG: XS, S or OLMOE (bench/xs.yaml and so on), or a file. bf16 is autocast over float master weights; fp32 is without TF32. `graph` is
the compiled step captured in a CUDA graph. Fused AdamW, clipping at 1.0, loads kept even by a bias, random tokens; the host never waits
inside a step. Milliseconds are between moments of the stream, steps back to back."""
import argparse

import torch

from grouped import GroupedExperts
from moments import kind, peak_mib, timed
from serve import Answers
from transformer import Model, even_out, read_size

BATCHES, FIRST_STEPS = 4, 8


class Training:
    def __init__(self, size, args):
        self.args = args
        with torch.device(args.device):
            self.model = Model(size, GroupedExperts)
            self.batches = [torch.randint(size.vocabulary, (size.batch, size.context + 1)) for _ in range(BATCHES)]
        with self.autocast():
            even_out(self.model, self.batches[0])
        self.loss_of = self.model if args.form == "eager" else torch.compile(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-4, weight_decay=0.1, fused=True,
                                           capturable=args.device != "cpu")
        self.ids = self.batches[0].clone()  # where a captured step reads
        self.number, self.run = 0, self.step

    def autocast(self):
        return torch.autocast(self.args.device, torch.bfloat16, enabled=self.args.precision == "bf16")

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            loss = self.loss_of(self.ids)
        loss.backward()
        self.loss = loss.detach()  # no graph of a step outlives it, least of all into a capture
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
        self.optimizer.step()

    def next(self):
        """One step on the next batch."""
        self.ids.copy_(self.batches[self.number % BATCHES])
        self.number += 1
        self.run()

    def start(self):
        """First steps, which compile; on a stream of their own, as a capture wants it."""
        if self.args.device == "cpu":
            return self.next()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(FIRST_STEPS):
                self.next()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        if self.args.form == "graph":
            self.capture()

    def capture(self):
        self.optimizer.zero_grad(set_to_none=True)  # so that the graph writes gradients and does not add to them
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.step()
        self.run = self.graph.replay


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--form", choices=("eager", "compile", "graph"), default="graph")
    parser.add_argument("--device", default="cuda", help="cpu: to try the script where there is no GPU; eager alone")
    return parser.parse_args()


def main():
    args = arguments()
    answers = Answers()
    torch.manual_seed(1)
    if args.device != "cpu":
        torch.backends.cuda.matmul.allow_tf32 = False
    size = read_size(args.config, args.overrides)
    training = Training(size, args)
    training.start()
    ready = {**kind(args.device), "what": "step", "config": args.config, "experts": size.experts, "precision": args.precision,
             "form": args.form, "step_tokens": size.tokens, "parameters": sum(p.numel() for p in training.model.parameters()),
             "peak_mib": peak_mib(args.device), "loss": round(float(training.loss), 4)}
    answers.serve(ready, {"run": lambda n: timed(args.device, n, 1, training.next)})


if __name__ == "__main__":
    main()
