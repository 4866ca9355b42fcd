"""The record schema as `switchyard schema` prints it (docs/record-schema.md; a test compares them), and what a reader asks of values."""
from typing import NamedTuple

VERSIONS = range(1, 9)  # 2 adds to 1; 3 has attributes of fixed length; 4 adds the timeline, 5 communication, 6 its seconds by purpose,
#                         7 spread of scores and mean weight, branches of sweeps; 8 the margin by powers of two, what codes stand for


class Kind(NamedTuple):
    """A kind of record file. growing: dimensions along which it is appended; variables: name -> (dimensions, type); needed: those without
    which it is not whole."""
    growing: frozenset
    variables: dict
    needed: tuple


def _kind(growing, needed, table):
    variables = {}
    for line in table.strip().splitlines():
        name, kind, *dims = line.replace(",", " ").split()
        variables[name] = tuple(dims), kind
    return Kind(frozenset(growing), variables, needed)


KINDS = {
    "switchyard-run": _kind(["row", "evaluation", "timeline"], ("step", "tokens", "loss_cross_entropy", "tokens_per_second"), """
        block int32 layer
        experts int32 layer
        phase_name text16 phase
        step int64 row
        tokens int64 row
        loss float64 row
        loss_cross_entropy float64 row
        loss_head_z float64 row
        loss_aux float64 row
        loss_importance float64 row
        loss_router_z float64 row
        learning_rate float64 row
        gradient_norm float64 row
        wall_seconds float64 row
        tokens_per_second float64 row
        peak_bytes int64 row
        phase_seconds float64 row, phase
        phase_bytes int64 row, phase
        assigned int64 row, layer, expert
        kept int64 row, layer, expert
        prob_mass float64 row, layer, expert
        bias float32 row, layer, expert
        entropy float64 row, layer
        score_spread float64 row, layer
        mean_weight float64 row, layer
        max_vio float64 row, layer
        max_vio_floor float64 row, layer
        drop_share float64 row, layer
        margin int64 row, layer, margin_bin
        margin_edge float64 margin_bin
        traffic int64 row, rank_from, rank_to
        evaluation_step int64 evaluation
        evaluation_loss float64 evaluation
        evaluation_bits_per_byte float64 evaluation
        evaluation_block_loss float64 evaluation, evaluation_block
        task_stage text16 task
        task_direction text16 task
        task_block int32 task
        task_lane int32 task
        task_queue int32 task
        timeline_step int64 timeline
        timeline_step_start float64 timeline, timeline_rank
        timeline_step_end float64 timeline, timeline_rank
        timeline_start float64 timeline, timeline_rank, task
        timeline_end float64 timeline, timeline_rank, task
        timeline_bytes int64 timeline, timeline_rank, task
        purpose_name text16 purpose
        rank_node int32 rank_from
        sent_bytes int64 row, purpose
        sent_messages int64 row, purpose
        across_bytes int64 row, purpose
        across_messages int64 row, purpose
        communication_busy float64 row
        communication_exposed float64 row
        purpose_busy float64 row, purpose
        purpose_exposed float64 row, purpose
        hidden_share float64 row
        exposed_share float64 row
        hop_p50 float64 row
        hop_p99 float64 row
        hop_max float64 row
        task_meets uint8 task
        hop_task int32 hop
        hop_kind text16 hop
        hop_start float64 timeline, timeline_rank, hop
        hop_end float64 timeline, timeline_rank, hop
        hop_waited float64 timeline, timeline_rank, hop
        hop_bytes int64 timeline, timeline_rank, hop
        pair_bytes int64 timeline, purpose, rank_from, rank_to
        pair_messages int64 timeline, purpose, rank_from, rank_to"""),
    "switchyard-evaluation": _kind(["evaluation"], ("step", "token_text", "token"), """
        block int32 layer
        token int32 sample
        next int32 sample
        position int32 sample
        document int64 sample
        domain int32 sample
        token_text text16 vocabulary
        step int64 evaluation
        predicted int32 evaluation, sample
        loss float32 evaluation, sample
        expert int16 evaluation, sample, layer, choice
        weight float32 evaluation, sample, layer, choice
        dropped uint8 evaluation, sample, layer, choice"""),
    "switchyard-tokens": _kind(["sample"], ("step", "sequence", "position"), """
        block int32 layer
        step int64 sample
        sequence int64 sample
        position int32 sample
        token int32 sample
        expert int16 sample, layer, choice
        weight float32 sample, layer, choice
        kept uint8 sample, layer, choice"""),
    "switchyard-results": _kind(["row"], (), """
        task int32 row
        arm text16 row
        branch text32 row
        num_experts int32 row
        k int32 row
        granularity int32 row
        seed int64 row
        router_type text16 row
        routing_frequency float64 row
        d_model int32 row
        num_blocks int32 row
        num_heads int32 row
        total_parameter_count float64 row
        dense_parameter_count float64 row
        flops_per_step float64 row
        step int64 row
        tokens int64 row
        loss_train float64 row
        loss_validation float64 row
        bits_per_byte float64 row
        max_vio float64 row
        max_vio_floor float64 row
        drop_share float64 row
        seconds_per_step float64 row
        peak_bytes float64 row
        block_loss float64 row, block"""),
}

# Root attributes that are read: whole numbers and texts. All others, as another program may add, are read where they are plain.
NUMBERS = ("schema_version", "segment", "ranks", "step_tokens", "top_k", "begins_after")
TEXTS = ("schema", "program_version", "commit", "config", "config_sha256", "provenance", "domains", "tasks", "runs")
MOST = 1 << 53        # of any count: beyond it a double no longer holds every one
ANY_NUMBER = ("seed", "document", "domain", "predicted", "next", "expert", "task_block")  # integers, also below 0 or with own limits
MAY_BE_NAN = ("evaluation_loss", "evaluation_bits_per_byte", "evaluation_block_loss", "loss_validation", "bits_per_byte", "max_vio",
              "max_vio_floor", "drop_share", "seconds_per_step", "peak_bytes", "block_loss", "loss_train", "routing_frequency")
