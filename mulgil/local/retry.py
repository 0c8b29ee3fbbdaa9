"""The waits between the attempts of a task that fails.

KFP's backend hands its retry policy to Argo.

Source: `processNodeRetries` of https://github.com/argoproj/argo-workflows 4.1.2, in
workflow/controller/operator.go.
"""

from __future__ import annotations

from mulgil.local.graph_spec import RetryPolicy

# Far beyond any duration, and still a number that a float holds.
_MOST_DOUBLINGS = 64


def wait_before_retry(policy: RetryPolicy, attempts: int, elapsed_seconds: float) -> float | None:
    """Decide whether a task that failed is tried again, and when.

    Args:
        policy: How often, and after which waits.
        attempts: Attempts that failed so far.
        elapsed_seconds: Since the first attempt started.

    Returns:
        The wait before the next attempt; `None` where there is none, as the retries are used up or the wait
        would end after the policy's longest duration.

    Units:
        Seconds.
    """
    if attempts > policy.max_retry_count:
        return None
    # Without a factor every wait is as long as the first.
    growth = policy.backoff_factor ** min(attempts - 1, _MOST_DOUBLINGS) if policy.backoff_factor > 0 else 1
    wait = policy.backoff_duration * growth
    return wait if elapsed_seconds + wait <= policy.backoff_max_duration else None
