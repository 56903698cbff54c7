"""Predict on the workers of a Ray cluster; needs ray.

Each worker opens the artifact once. This process sends the items out, a few
batches per worker at a time, and gets their results back in the order of the
items, each of them once: if a worker is lost, Ray computes its batch again.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Any

from keras_inception_export.data.items import Item
from keras_inception_export.errors import RequestError, RuntimeMissingError
from keras_inception_export.prediction.pipeline import Pipeline, Prediction

AHEAD = 2
"""Batches that each worker has, so that it need not wait for the next one."""

RETRIES = 3


def ray_batches(
    pipeline: Pipeline,
    open_pipeline: Callable[[], Pipeline],
    items: Iterable[Item],
    workers: int | None = None,
) -> Generator[list[Prediction], None, None]:
    """Yield predictions as `pipeline` does, batch by batch.

    Args:
        pipeline: computes the first batch here, and warns if its values are
            unlike those of the verification.
        open_pipeline: opens the artifact on a worker.
        items: all items. Their paths must exist on every worker.
        workers: the number of workers, with a core each. Defaults to `None`:
            all cores of the cluster.
    """
    try:
        import ray
    except ImportError:
        raise RuntimeMissingError(
            "the engine ray needs the package ray: pip install ray"
        ) from None
    items, size = iter(items), pipeline.batch_size
    yield from pipeline(islice(items, size))
    part = list(islice(items, size))
    if not part:
        return
    started = not ray.is_initialized()
    ray.init(
        ignore_reinit_error=True, log_to_driver=False, include_dashboard=False
    )
    remote: Any = ray.remote(
        num_cpus=1, max_restarts=-1, max_task_retries=RETRIES
    )(_Worker)
    number = workers or int(ray.cluster_resources().get("CPU", 1))
    pool = [remote.remote(open_pipeline) for _ in range(number)]
    pending: deque = deque()
    try:
        sent = 0
        while True:
            while part and len(pending) < AHEAD * number:
                worker = pool[sent % number]
                pending.append(worker.predict.remote(part))
                sent += 1
                part = list(islice(items, size))
            if not pending:
                return
            yield ray.get(pending.popleft())
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise RequestError(
            f"a worker of Ray failed ({reason}); check that the artifact, its "
            "runtime and the inputs are on every worker, and use --resume"
        ) from error
    finally:
        for worker in pool:
            ray.kill(worker)
        if started:
            ray.shutdown()


class _Worker:
    """Runs on one core of the cluster."""

    def __init__(self, open_pipeline: Callable[[], Pipeline]) -> None:
        self._pipeline = open_pipeline()

    def predict(self, part: list[Item]) -> list[Prediction]:
        """Return the predictions of one batch."""
        return [x for batch in self._pipeline(part) for x in batch]
