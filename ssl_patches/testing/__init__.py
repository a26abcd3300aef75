"""Hold anybody's task or encoder to the contracts that our own tests ask of ours.

    from ssl_patches.testing import check_encoder, check_task, leak_probe

    def test_my_task():
        check_task(MyTask, sampler={"rows": 3, "cols": 3})

    def test_my_task_reads_no_places_from_noise():
        sampler = partial(PatchSampler, rows=2, cols=2)
        assert not any(answer.leaks for answer in leak_probe(MyTask, sampler=sampler))

``check_task`` and ``check_encoder`` raise ``ContractBroken``, an AssertionError, with every
contract that does not hold.
"""

from ssl_patches.testing.checks import ContractBroken, check_encoder, check_task
from ssl_patches.testing.leaks import Answer, leak_probe, noise
from ssl_patches.testing.pairs import Pair, pictures, put_together, small_encoders

__all__ = [
    "Answer",
    "ContractBroken",
    "Pair",
    "check_encoder",
    "check_task",
    "leak_probe",
    "noise",
    "pictures",
    "put_together",
    "small_encoders",
]
