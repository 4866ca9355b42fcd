"""Shapes of single layers, as bench/gpu.py names them, and the options that `switchyard bench layer` and its opponents share."""

LAYERS = {  # T, d, f, E, k: those of ../shared/baselines.md, then SonicMoE's
    "mixtral": (8192, 4096, 14336, 8, 2), "dsv2lite": (16384, 2048, 1408, 64, 6), "olmoe": (16384, 2048, 1024, 64, 8),
    "qwen3": (16384, 2048, 768, 128, 8), "sat8": (16384, 1024, 2048, 8, 1), "sat64": (16384, 1024, 2048, 64, 1),
    "sat256": (16384, 1024, 2048, 256, 1), "sat512": (16384, 1024, 2048, 512, 1),
    "sonic7b": (24576, 1536, 512, 64, 4), "sonic7b-wide": (24576, 1536, 1024, 32, 2),
    "sonic30b": (32768, 4096, 512, 128, 8), "sonic30b-wide": (32768, 4096, 1024, 64, 4)}
GROUPS = {"eight": tuple(LAYERS)[:8], "sonic": tuple(LAYERS)[8:], "all": tuple(LAYERS)}
# TF/s of 18·T·k·d·f that SonicMoE's authors publish for an H100, read off their figure: docs/science.md, "Figures of peers".
PUBLISHED = {"sonic7b": 437, "sonic7b-wide": 466, "sonic30b": 508, "sonic30b-wide": 553}


def names_of(words):
    """Names of layers, where a group stands for its own."""
    return [name for word in words for name in GROUPS.get(word, (word,))]


def options_of(name, load, args):
    sizes = LAYERS.get(name) or tuple(int(word) for word in name.split(","))
    options = [f"--{key}={value}" for key, value in zip(("tokens", "width", "hidden", "experts", "top-k"), sizes)]
    return options + [f"--load={load}", f"--activation={args.activation}", f"--precision={args.precision}", f"--queued={args.queued}"]
