"""Times of work that is queued on a device without waiting for it in between."""
import time

import torch


def timed(device, n, queued, run):
    """Milliseconds of each of n repetitions of `queued` times run(), between moments of the stream; the host waits at the end alone."""
    if device == "cpu":  # to try a script where there is no GPU
        marks = [time.perf_counter() * 1e3]
        for _ in range(n):
            for _ in range(queued):
                run()
            marks.append(time.perf_counter() * 1e3)
        return [(b - a) / queued for a, b in zip(marks, marks[1:])]
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(n + 1)]
    marks[0].record()
    for i in range(n):
        for _ in range(queued):
            run()
        marks[i + 1].record()
    torch.cuda.synchronize()
    return [a.elapsed_time(b) / queued for a, b in zip(marks, marks[1:])]


def kind(device):
    """What it ran on, for a record."""
    peer = {"peer": "torch " + torch.__version__, "device": device}
    return peer if device == "cpu" else {**peer, "device": torch.cuda.get_device_name()}


def peak_mib(device):
    return 0 if device == "cpu" else torch.cuda.max_memory_allocated() >> 20
