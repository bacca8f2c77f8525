"""Which sequences a step reads: against walking through the run step by step."""

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olmo2.base.errors import UsageError
from olmo2.data.step_plan import BatchChange, Phase, SeqLenChange, StepPlan, StepSpan, make_phases

SEQ_LEN = 8


def walk(num_sequences: int, phases: list[Phase]) -> Iterator[StepSpan]:
    """The steps of a run, one after the other, with nothing but counters."""
    epoch = place = tokens = 0
    for step in count(1):
        phase = [phase for phase in phases if phase.from_tokens <= tokens][-1]
        if place + phase.sequences > num_sequences:
            epoch, place = epoch + 1, 0
        read = phase.sequences * SEQ_LEN
        yield StepSpan(step, epoch, place, phase.sequences, phase.seq_len, tokens, read)
        place += phase.sequences
        tokens += read


@st.composite
def plans(draw: st.DrawFn) -> tuple[int, list[Phase]]:
    """A number of sequences and phases that fit them."""
    starts = draw(st.sets(st.integers(1, 600), max_size=4))
    phases = [Phase(start, draw(st.integers(1, 9)), draw(st.sampled_from([2, 4, 8]))) for start in (0, *sorted(starts))]
    return draw(st.integers(max(phase.sequences for phase in phases), 40)), phases


@settings(deadline=None, max_examples=60)
@given(plans())
def test_equals_walking_through_the_run(drawn: tuple[int, list[Phase]]) -> None:
    num_sequences, phases = drawn
    plan = StepPlan(num_sequences, SEQ_LEN, phases)
    for step, expected in zip(range(1, 120), walk(num_sequences, phases), strict=False):
        assert plan.span(step) == expected
        assert plan.tokens_after(step) == expected.tokens_before + expected.tokens
        assert plan.num_steps(total_tokens=plan.tokens_after(step)) == step
        assert plan.num_steps(total_tokens=plan.tokens_after(step) - 1) == step
        assert plan.num_steps(total_tokens=plan.tokens_after(step) + 1) == step + 1
    assert plan.tokens_after(0) == 0


@settings(deadline=None, max_examples=60)
@given(plans())
def test_an_epoch_reads_every_sequence_once_but_for_less_than_a_batch(drawn: tuple[int, list[Phase]]) -> None:
    num_sequences, phases = drawn
    plan = StepPlan(num_sequences, SEQ_LEN, phases)
    places: dict[int, list[int]] = {}
    for step in range(1, 200):
        span = plan.span(step)
        places.setdefault(span.epoch, []).extend(range(span.first, span.first + span.sequences))
    last = max(places)
    assert sorted(places) == list(range(last + 1))
    for epoch, seen in places.items():
        assert seen == list(range(len(seen)))
        assert len(seen) <= num_sequences
        if epoch < last:
            assert num_sequences - len(seen) < max(phase.sequences for phase in phases)


def test_a_batch_that_never_changes() -> None:
    plan = StepPlan(26, SEQ_LEN, [Phase(0, 4, SEQ_LEN)])
    spans = [plan.span(step) for step in range(1, 20)]
    assert [(span.epoch, span.first) for span in spans] == [
        (epoch, 4 * batch) for epoch in range(4) for batch in range(6)
    ][:19]
    assert plan.num_steps(epochs=1) == 6
    assert plan.num_steps(epochs=2.5) == 15
    assert plan.num_steps(epochs=0.01) == 1
    assert plan.num_steps(total_tokens=4 * SEQ_LEN * 7) == 7
    assert plan.num_steps(total_steps=11) == 11


def test_steps_far_away_are_found_at_once() -> None:
    """4T tokens: the batch grows from 1M to 4M tokens after 100B."""
    phases = make_phases(
        seq_len=4096,
        global_batch_tokens=2**20,
        batch_schedule=[BatchChange(from_tokens=10**11, global_batch_tokens=2**22)],
    )
    plan = StepPlan(976_562_500, 4096, phases)
    steps_before = -(-(10**11) // 2**20)
    assert plan.span(steps_before).tokens == 2**20
    assert plan.span(steps_before + 1) == StepSpan(
        steps_before + 1, 0, steps_before * 256, 1024, 4096, steps_before * 2**20, 2**22
    )
    steps = plan.num_steps(total_tokens=4 * 10**12)
    assert steps == steps_before + -(-(4 * 10**12 - steps_before * 2**20) // 2**22)


def test_schedules_are_merged() -> None:
    phases = make_phases(
        seq_len=4096,
        global_batch_tokens=8192,
        batch_schedule=[BatchChange(from_tokens=100_000, global_batch_tokens=16_384)],
        seq_len_schedule=[SeqLenChange(from_tokens=0, seq_len=1024), SeqLenChange(from_tokens=200_000, seq_len=4096)],
    )
    assert phases == [Phase(0, 2, 1024), Phase(100_000, 4, 1024), Phase(200_000, 4, 4096)]
    assert make_phases(seq_len=4096, global_batch_tokens=8192) == [Phase(0, 2, 4096)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"global_batch_tokens": 5000}, r"run\.global_batch_tokens 5000 must be a multiple of seq_len 4096"),
        (
            {"batch_schedule": [BatchChange(from_tokens=5, global_batch_tokens=5000)]},
            r"run\.batch_schedule: global_batch_tokens 5000 must be a multiple of seq_len 4096",
        ),
        (
            {"batch_schedule": [BatchChange(from_tokens=start, global_batch_tokens=4096) for start in (5, 5)]},
            r"run\.batch_schedule: from_tokens must rise.*\[5, 5\]",
        ),
        (
            {"seq_len_schedule": [SeqLenChange(from_tokens=start, seq_len=1024) for start in (5, 3)]},
            r"data\.seq_len_schedule: from_tokens must rise.*\[5, 3\]",
        ),
        (
            {"seq_len_schedule": [SeqLenChange(from_tokens=5, seq_len=3000)]},
            r"data\.seq_len_schedule: 3000 does not divide data\.seq_len 4096",
        ),
    ],
)
def test_settings_that_do_not_fit(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_phases(**{"seq_len": 4096, "global_batch_tokens": 8192, **values})  # type: ignore[arg-type]


def test_data_fill_the_largest_batch() -> None:
    with pytest.raises(UsageError, match=r"hold 9 sequences of 8 tokens.*batch of 10; lower run\.global_batch_tokens"):
        StepPlan(9, SEQ_LEN, [Phase(0, 2, SEQ_LEN), Phase(100, 10, SEQ_LEN)])


def test_epochs_do_not_go_with_a_batch_schedule() -> None:
    plan = StepPlan(20, SEQ_LEN, [Phase(0, 2, SEQ_LEN), Phase(100, 4, SEQ_LEN)])
    with pytest.raises(UsageError, match=r"run\.epochs.*run\.batch_schedule.*set run\.total_tokens"):
        plan.num_steps(epochs=2)
