"""The acceptance table: every claim with what was published (docs/science.md, "Published figures behind the claims") and the rule
that was fixed before any run; what came later says so, in words that contain LATER. The texts stand here only; commands fill in status,
measured value and interval, by key."""
from typing import NamedTuple

from . import acceptance


class Claim(NamedTuple):
    """A row of the table. absent: why nothing is known of it while no experiment has an entry for it."""
    claim: str
    published: str
    rule: str
    absent: str


CORRECTED_ON = "2026-12-01"
HASH = "the learned router does not lose to a hash of the token id at equal work (interval of the difference above 0)"
LATER = "added after the runs of"
NOT_RUN = "no runs that decide it are committed"
NOT_BUILT = "the program does not have it: {}"

CLAIMS = {
    "fit-code": Claim("fit code correct", "Clark et al. 2022, Table 3",
                      "a, b, c within 0.002, d within 0.01, E_max within 15 % of the earlier refit of the same "
                      "file, for all three routers", NOT_RUN),
    "known-answer": Claim("known answer T1", "E* = L",
                          "oracle and hash within 0.02 nat of their curves at every E (3 million samples or more; hash at its own "
                          "drawn assignment); L(L) − L(2L) < 0.003; E* moves 16 → 64 → 256 with L", NOT_RUN),
    "facts-collapse": Claim("T2 collapse", "–", "curves for at least 3 (N_f, h) collapse in ρ within 0.05 nat; E* ratio 2.0 ± 0.25 when h "
                                                "or N_f doubles", NOT_RUN),
    "more-experts-help": Claim("more experts help (sample efficiency)", "7.5× steps at E = 64 (Switch); 2.8–17× (Clark, by N)",
                               "Δ > 0, 95 % interval excluding 0, for each doubling to 64; step speed-up at E = 64 at least 1.5×", NOT_RUN),
    "gains-diminish": Claim("gains diminish", "ST-MoE: beyond 256; Clark",
                            "slope of Δ against log2 E over E ≥ 8 negative, interval excluding 0; E_half within a "
                            "factor 2 of the prediction from tokens per parameter", NOT_RUN),
    "gains-stop": Claim("gains stop at 256 or 512", "a blog post only",
                        "upper 95 % limit of every Δ from E = 256 on below 0.005 nat", NOT_RUN),
    "memory-linear": Claim("memory linear", "affine",
                           "peak bytes against E affine, R² > 0.999, slope = computed bytes an expert ± 3 %", NOT_RUN),
    "speed-holds": Claim("speed does not fall", "Switch: constant FLOP a token",
                         "tokens/s at E = 64 at least 80 % of E = 1 (one device)", NOT_RUN),
    "loss-free-balances": Claim("loss-free balances better", "MaxVio_global ÷ 13–35",
                                "excess MaxVio_global at most 1/5 of the auxiliary arm (α = 1e-3), at least 3 seeds", NOT_RUN),
    "loss-free-costs-nothing": Claim("loss-free costs nothing or gains", "−0.006 nat; = batch-wise auxiliary loss",
                                     "non-inferior: upper limit of L_lf − L_aux < "
                                     "+0.002; “gain” only if the interval is below 0; three arms (sequence, batch, loss-free)", NOT_RUN),
    "bias-rate": Claim("optimum of u", "1e-3 of {1e-4, 1e-3, 1e-2} at 40k steps",
                       "middle u best in u·steps ∈ {1.5, 15, 150} on early and late MaxVio", NOT_RUN),
    "quantile-balances": Claim("quantiles balance at every number of experts", "none found",
                               "at E = 4, 16, 64 and 256 MaxVio over the last tenth of the steps at most 1.5 times its sampling floor, in "
                               "the mean and with the upper limit; its loss less that of the arm with the lowest mean loss, hash arms "
                               "apart, has an interval that holds 0 or ends below it; Student's t over at least 3 seeds", NOT_RUN),
    "softmax-sigmoid": Claim("softmax or sigmoid", "9.604 against 9.56",
                             f"sign only; neither arm above `none` by 0.002 nat ({LATER} 2026-11-23)", NOT_RUN),
    "capacity-curve": Claim("CF 1.0 → 1.5 sharp, → 2 flat, > 2 waste", "10.6 / 0.3 / 0.0 % dropped at 0.75 / 1.25 / 2",
                            "drop(1.5) ≤ 0.25·drop(1.0); drop(1.5) − "
                            "drop(2.0) ≤ 1 point; waste(2.5) ≥ 55 %; curve within 1 point of the closed form at the measured σ", NOT_RUN),
    "capacity-quality": Claim("CF and quality", "+0.011 (1 → 1.25), +0.009 (1.25 → 2)",
                              "monotone within the interval; at least 40 % of the gain from 1 to 2 reached by 1.25", NOT_RUN),
    "router-learns": Claim("a learned router beats a hash of the token id",
                           "S-BASE and RL-R below HASH at every E (Clark); a balanced hash below Switch (Roller et al. 2021)",
                           "the loss of one arm, registered before the runs, less that of the hash arm at equal work is below 0, and, "
                           "where it begins as a hash, less that of the same router that never learns too; intervals by Student's t over "
                           "at least 3 seeds", NOT_RUN),
    "top-2": Claim("top-2 over top-1", "+0.004 at equal CF (ST-MoE)", "comparison at equal FLOPs; sign with interval", NOT_RUN),
    "communication": Claim("communication 60 % → < 15 %, > 95 % utilisation", "none found",
                           "busy, exposed and utilisation all printed; exposed ≤ 15 % from f0 ≤ 50 % by "
                           "overlap alone, or from 60 % with at least 35 % of the bytes removed",
                           NOT_RUN),
    "grouped-experts": Claim("grouped EP: −60 % across nodes", "DeepSeek-V3: at most 4 nodes",
                             "counted bytes equal the table of exact shares within 1 % (random routing), and measured on trained routing",
                             NOT_RUN),
    "overlap": Claim("overlap: −40 %", "COMET −86.5 %, Tutel −68.6 %",
                     "exposed time reduced by at least 40 %, same loss bit for bit or within tolerance",
                     NOT_RUN),
    "distillation": Claim("distillation keeps 30–40 %", "27–37 %",
                          "kept share 25–45 %, interval excluding 0; gain of the teacher at least 0.05 nat",
                          NOT_BUILT.format("distillation")),
    "merging": Claim("merging of experts", "up to −80 % memory (tuned)",
                     "a merge of E to E/2 keeps at least 80 % of the gain and beats a random merge; beside pruning "
                     "and training E/2", NOT_BUILT.format("merging")),
    "int4": Claim("INT4 experts", "minor loss", "ΔL ≤ 0.01 nat, groups of 64, experts only; at least 3.7× on expert bytes",
                  NOT_BUILT.format("4-bit weights")),
    "task-routing": Claim("task routing", "+1.0 BLEU; keeps all",
                          "penalty against token routing at most 20 % of the gain; sub-network = full model bit for bit",
                          NOT_BUILT.format("routing by task in the transformer")),
    "dynamic-k": Claim("dynamic k", "+0.7 % at < 90 %", "equal loss (± 0.002) at ≤ 90 % of the mean k; k of each layer reported",
                       NOT_BUILT.format("a number of choices that differs from token to token")),
    "fp8": Claim("FP8 experts", "< 0.25 % relative", "the same, over the last 20 % of the steps", NOT_BUILT.format("8-bit products")),
    "punctuation-numbers": Claim("experts for punctuation and for numbers",
                                 "encoder yes, decoder no (ST-MoE, tables 13 and 14); by vocabulary yes (OLMoE)",
                                 "in at least one layer an expert with lift ≥ 3 over the class base rate, for punctuation and for digits "
                                 "(95 % interval above 1), and "
                                 "NMI(expert, class) minus its mean under within-document shuffles > 0 in those layers (interval above 0); "
                                 "in all of at least 3 seeds", NOT_RUN),
    "accounting": Claim("accounting", "47B/13B (Mixtral), 236B/21B (DeepSeek-V2), 671B/37B (V3)",
                        "the exact integers, total and active", NOT_RUN),
}

# Rules that stand beside registered ones since CORRECTED_ON, where those turned out to be out of reach, or to judge by intervals that
# hold the truth too seldom, for reasons apart from the claim. The registered verdicts stay.
CORRECTED = {
    "fit-code": "the same tolerances about Table 3 of the paper, for all three routers; not reproduced only where the interval of "
                "a parameter, by a jackknife over the six sizes, lies outside them; the earlier refit stands beside it and is no "
                "judge",
    "more-experts-help": "the loss falls with log2 E (linear contrast) and from E = 1 to 64, both with an interval by pooled t; E = 64 "
                         "with two thirds of the steps and a fall of the rate of its own reaches the dense model's loss",
    "gains-diminish": "the gain of a doubling falls with log2 E (curvature contrast over all E, interval by pooled t); E_half by "
                      "smoothed gains and the fitted law, its interval within a factor 4, within a factor 2 of what the published law "
                      "gives through the same function",
    "loss-free-balances": "excess MaxVio_global of the loss-free rate that has least of it at most 1/5 of the auxiliary arms', interval by "
                          "Student's t, at least 3 seeds; the rate is chosen from the same runs, so that others have to confirm it",
    "loss-free-costs-nothing": "the loss-free rate that has the least excess MaxVio_global is not worse than the auxiliary arms by 0.002 "
                               "nat, interval by Student's t",
    "top-2": "sign with interval by Student's t over seeds",
    "punctuation-numbers": "in at least one layer the largest lift of an expert for punctuation, and in one for digits, is 3 or more and "
                           "above what maps from token ids to experts show that are permuted among ids of like frequency (p ≤ 0.05, shared "
                           "among the layers), in all of at least 3 seeds",
}


def entry(key, verdict, interval, files, label=""):
    """The entry of acceptance.json for a claim. verdict: (status, measured); label: which curve or runs, where there are several."""
    row = CLAIMS[key]
    return dict(key=key, label=label) | acceptance.entry(row.claim, row.published, row.rule, verdict, interval, files)


def corrected(key, verdict, interval):
    """The part of an entry that says what became of the claim by its corrected rule."""
    return acceptance.corrected(CORRECTED_ON, CORRECTED[key], verdict, interval)


def not_trained(measured, interval):
    """The same where a claim on text cannot be tested, since the learned router loses to a hash."""
    why = "the learned router loses to a hash of the token id, so the runs say nothing of what experts are worth"
    return acceptance.corrected(CORRECTED_ON, HASH, (acceptance.UNTRAINED, dict(why=why) | measured), interval)


def untested(why, **measured):
    """The verdict that a claim cannot be tested by these runs, with the reason and what was measured all the same."""
    return "not testable here", dict(why=why) | measured
