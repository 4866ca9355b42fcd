"""Loads of experts and choices of tokens that make them: the same as those of src/bench/loads.cpp, to the last row, so that both sides of a
comparison move the same rows. Plain arithmetic of 64 bits, without any library.

  loads.py LOAD TOKENS EXPERTS TOP_K     prints the least and the largest load, and the digest of the choices"""
import math
import sys

MASK = (1 << 64) - 1
OWN, CHANCE, EXPERT_ORDER, TOKEN_ORDER = 1, 2, 3, 4
NAMES = ("balanced", "jittered", "zipf")


def mix(i):
    """splitmix64 of a number."""
    z = (i + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def bits(draw, i):
    return mix((mix(draw) + i) & MASK)


def normal(draw, i):
    total = -6.0
    for j in range(12):
        total += (bits(draw, 12 * i + j) >> 11) * 2.0 ** -53
    return total


def order(draw, n):
    return sorted(range(n), key=lambda i: (bits(draw, i), i))


def weights(load, tokens, experts, top_k):
    mean = tokens * top_k / experts
    if load == "jittered":
        return [max(mean * (1.0 + 0.1 * normal(OWN, e)) + math.sqrt(mean) * normal(CHANCE, e), 0.1 * mean) for e in range(experts)]
    found = [1.0] * experts
    if load == "zipf":
        for rank, e in enumerate(order(OWN, experts)):
            found[e] = 1.0 / (rank + 1)
    return found


def shares(of, tokens, rows):
    """Rows by weight, at most as many as there are tokens: what is beyond goes to the others, by weight again."""
    full = [False] * len(of)
    while True:
        total, left, more = 0.0, float(rows), False
        for e, weight in enumerate(of):
            if full[e]:
                left -= float(tokens)
            else:
                total += weight
        found = []
        for e, weight in enumerate(of):
            share = float(tokens) if full[e] else left * weight / total
            found.append(share)
            if not full[e] and share > tokens:
                full[e] = more = True
        if not more:
            return found


def expert_loads(load, tokens, experts, top_k):
    """Rows of each expert: they sum to tokens * top_k, and none has more than there are tokens."""
    rows = tokens * top_k
    least = 1 if rows >= experts else 0
    loads = [min(max(int(share), least), tokens) for share in shares(weights(load, tokens, experts, top_k), tokens, rows)]
    total, e = sum(loads), 0
    while total != rows:
        if total < rows and loads[e] < tokens:
            loads[e], total = loads[e] + 1, total + 1
        elif total > rows and loads[e] > least:
            loads[e], total = loads[e] - 1, total - 1
        e = (e + 1) % experts
    return loads


def forced_choices(loads, tokens, top_k):
    """For each token a list of top_k different experts, so that expert e has loads[e] rows."""
    choices = [[0] * top_k for _ in range(tokens)]
    of_token, at = order(TOKEN_ORDER, tokens), 0
    for e in order(EXPERT_ORDER, len(loads)):
        for _ in range(loads[e]):
            choices[of_token[at % tokens]][at // tokens] = e
            at += 1
    return choices


def digest_of(choices):
    digest = 0xCBF29CE484222325
    for expert in (expert for of_token in choices for expert in of_token):
        digest = ((digest ^ expert) * 0x100000001B3) & MASK
    return digest


def main():
    load, (tokens, experts, top_k) = sys.argv[1], map(int, sys.argv[2:5])
    found = expert_loads(load, tokens, experts, top_k)
    print(min(found), max(found), digest_of(forced_choices(found, tokens, top_k)))


if __name__ == "__main__":
    main()
