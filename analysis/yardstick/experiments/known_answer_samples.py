"""T1-D and T1-Z: what fewer samples and a balance of the loads cost where the answer is known."""
import numpy as np

TASKS, KEYS, DEPTH = 64, 16, 6                # of the tree that fewer samples are drawn from
LEAST = 1_000_000                             # samples from which the excess goes as one over samples
SHOWN = [4, 16, 64]                           # E of the tax that routers pay
# of an earlier program: docs/science.md, "Fewer samples"
PUBLISHED = dict(kappa=[4.5, 5.2], break_even={"16 to 32": 42_000, "32 to 64": 165_000})


def _held(experts):
    """Facts that E experts hold: one for each key and level."""
    return np.minimum(experts, TASKS) * KEYS * (DEPTH + 1)


def _paying(fewer, experts):
    """Number of samples from which 2E experts are better than E, linear in its logarithm; None where it is outside the tables."""
    worse = []
    for samples, table in fewer.items():
        loss = table.set_index("experts")["trained"]
        worse.append((np.log(samples), loss[2 * experts] - loss[experts]))
    for (x, above), (y, below) in zip(worse, worse[1:]):
        if above > 0 >= below:
            return round(float(np.exp(x + (y - x) * above / (above - below))))
    return None


def fewer_samples(fewer):
    """kappa of excess = kappa · facts / samples, by least squares and of every E ("each"), and from which number of samples a doubling
    pays: kappa · (more facts) / (ln 2 · share of the levels below), beside what was observed. None without enough samples."""
    samples = max(fewer, default=0)
    if samples < LEAST:
        return None
    rows = fewer[samples][fewer[samples]["experts"] <= TASKS]
    experts, excess = rows["experts"].values, (rows["trained"] - rows["assignment"]).values
    held = _held(experts)
    kappa = float(samples * (excess @ held) / (held @ held))
    pays, observed = {}, {}
    for e in experts[experts < TASKS]:
        below = (DEPTH - np.log2(e)) / (DEPTH + 1)
        pays[f"{e} to {2 * e}"] = round(float(kappa * (_held(2 * e) - _held(e)) / (np.log(2) * below)))
        observed[f"{e} to {2 * e}"] = _paying(fewer, int(e))
    each = {str(e): round(float(k), 2) for e, k in zip(experts, excess * samples / held)}
    return dict(samples=samples, kappa=round(kappa, 2), each=each, break_even=pays, observed=observed, published=PUBLISHED)


def balance_tax(found):
    """{router: {E: [excess of its assignment, MaxVio]}} of tasks of share 1/r, for some E; "balanced" cuts tasks: its MaxVio is 0."""
    exact = found.zipf.set_index("experts")
    tables = {name: table.set_index("experts") for name, table in found.zipf_trained.items()}
    tables["balanced"] = exact.assign(assignment=exact["balanced"], max_vio=0.0)
    return {name: {str(e): [round(float(table.loc[e, "assignment"] - exact.loc[e, "floor"]), 4), round(float(table.loc[e, "max_vio"]), 3)]
                   for e in SHOWN if e in table.index} for name, table in tables.items()}
