"""What routing would show without the preference looked for: exact where a formula is known, else drawn."""
import numpy as np
from scipy.stats import poisson, random_table


def max_vio_floor(tokens, top_k, experts):
    """MaxVio that uniform random routing shows on average: the expected maximum of E Poisson(T k/E) counts, less and over the
    mean, times sqrt((E-k)/(E-1)), since the experts of one token differ. As `moe::max_vio_floor` of the program."""
    if tokens <= 0 or experts <= top_k:
        return 0.0
    mean = tokens * top_k / experts
    width = 12 * np.sqrt(mean) + 40
    first = max(0.0, np.floor(mean - width))
    below = poisson.cdf(np.arange(first, mean + width), mean)
    return (first + (1 - below**experts).sum() - mean) / mean * np.sqrt((experts - top_k) / (experts - 1))


def uniform_loads(tokens, top_k, experts, draws, rng):
    """(draws, experts) loads of tokens that choose k different of E experts uniformly: multinomial draws of all choices, whose
    deviations are narrowed to the variance of choices without repetition, (E-k)/(E-1) times as large."""
    drawn = rng.multinomial(tokens * top_k, np.full(experts, 1 / experts), draws)
    mean = tokens * top_k / experts
    return mean + (drawn - mean) * np.sqrt((experts - top_k) / max(experts - 1, 1))


def matched_overlap(loads_a, pairs_a, loads_b, pairs_b, tokens):
    """Mean and standard deviation of the mean number of experts that two routings of the same tokens have in common, if one's
    tokens are permuted at random. Loads (E,) and pair counts (E, E) with the loads on the diagonal. Exact: with a_ij the
    overlap of token i of one and j of the other, the sum over a random matching has the variance (sum of the squares of the
    doubly centred a) / (N-1) (Hoeffding 1951), here a trace of scatter matrices."""
    mean = loads_a @ loads_b / tokens**2
    scatter_a = pairs_a - np.outer(loads_a, loads_a) / tokens
    scatter_b = pairs_b - np.outer(loads_b, loads_b) / tokens
    variance = max((scatter_a * scatter_b).sum(), 0) / max(tokens - 1, 1)
    return mean, np.sqrt(variance) / tokens


def inclusion(weights, top_k):
    """(E,) probabilities that expert i, and (E, E) that i and j, are among k of E when a set S has a probability proportional
    to the product of its weights. Recursions in k with positive terms only (Chen, Dempster and Liu 1994)."""
    single, before = np.zeros(len(weights)), np.zeros(len(weights))
    pair, pair_before, pair_last = (np.zeros((len(weights),) * 2) for _ in range(3))
    products = np.outer(weights, weights)
    np.fill_diagonal(products, 0)
    for k in range(1, top_k + 1):
        if k >= 2:
            pair = products * np.maximum(1 - before[:, None] - before[None, :] + pair_before, 0)
            pair *= k * (k - 1) / pair.sum()
        before, pair_before, pair_last = single, pair_last, pair
        single = weights * (1 - single)
        single *= k / single.sum()
    return single, pair


def _free_pairs(shares, top_k, tolerance=1e-8, rounds=2000):
    """`pairs_given_loads` for shares between 0 and 1, whose sum is k; by iterative scaling of the weights' odds."""
    if 2 * top_k > len(shares):  # by the experts that a token does not have: the recursions lose digits near share 1
        return shares[:, None] + shares[None, :] - 1 + _free_pairs(1 - shares, len(shares) - top_k)
    if top_k < 2:
        return np.zeros((len(shares),) * 2)
    weights = odds = shares / (1 - shares)
    for _ in range(rounds):
        single, pair = inclusion(weights, top_k)
        if np.abs(single - shares).max() < tolerance:
            break
        weights = weights * odds * (1 - single) / single
        weights /= weights.max()
    return pair


def pairs_given_loads(shares, top_k):
    """(E, E) probability that a token has experts i and j if its k experts are as random as the loads allow: the distribution
    over sets of k of highest entropy in which expert i has the probability shares[i]. The diagonal is 0."""
    always = shares > 1 - 1e-6
    free = (shares > 0) & ~always
    pair = np.outer(shares, shares)  # right where one of the two is with every token or none
    pair[np.ix_(free, free)] = _free_pairs(shares[free], top_k - int(always.sum()))
    np.fill_diagonal(pair, 0)
    return pair


def share_sd(share, part, total):
    """Standard deviation of the share of marked items in a random `part` of `total` items (hypergeometric)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(share * (1 - share) / part * (total - part) / max(total - 1, 1))


FREQUENT = 0.01  # share of all items from which a row's draw needs to know that items are not put back


def shuffled_tables(table, draws, rng):
    """Tables with the row sums of `table` and its column sums, as shuffling the columns' labels among all items gives them; one
    at a time, so that memory does not grow with draws, and at a cost that does not depend on the number of items. Rows with
    more than 1 % of the items are drawn exactly (Patefield 1981), the others with putting back, which widens their
    variance by at most 1 %."""
    rows, columns = table.sum(1), table.sum(0)
    used, often = columns > 0, rows > FREQUENT * rows.sum()
    together = np.append(rows[often], rows[~often].sum())
    for _ in range(draws):
        drawn = np.zeros(table.shape, np.int64)
        drawn[~often] = rng.multinomial(rows[~often], columns / columns.sum())
        drawn[np.ix_(often, used)] = random_table.rvs(together, columns[used], method="patefield", random_state=rng)[:-1]
        yield drawn


def shuffled_within(groups, rng):
    """(tokens,) a random order of the tokens in which every place keeps a token of its group; `groups` ascend."""
    key = (groups.astype(np.uint64) << np.uint64(32)) | rng.integers(0, 1 << 32, len(groups), dtype=np.uint64)
    return np.argsort(key)
