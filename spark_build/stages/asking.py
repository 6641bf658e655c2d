"""Transforms that pay for what they find: each item asked once ever, each answer on the disk as soon as it is there."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spark_build.contract.rules import AskingTransform
from spark_build.core.errors import ItemRejected, SparkError, Unanswered
from spark_build.core.job import Job, JobStep
from spark_build.core.ports import Blobs, Services
from spark_build.stages.contexts import base_context, step_context
from spark_build.stages.items_memo import remember_each
from spark_build.stages.loading import failed
from spark_build.stages.media import referred
from spark_build.stages.narrow import View, encoded_found, encoded_rejection
from spark_build.stages.progress import Progress


def asked_of(
    job: Job,
    services: Services,
    step: JobStep,
    rule: AskingTransform,
    views: Sequence[View],
    progress: Progress,
) -> tuple[Sequence[bytes], set[int]]:
    """What was found of each item, as it is remembered, and the positions of those that were asked for now."""
    return remember_each(
        services,
        step.operation,
        [view.key for view in views],
        lambda positions: _asked(job, services, step, rule, views, positions),
        progress=progress,
    )


def _asked(
    job: Job,
    services: Services,
    step: JobStep,
    rule: AskingTransform,
    views: Sequence[View],
    positions: Sequence[int],
) -> Iterator[tuple[int, bytes, bool]]:
    """Positions, values, and whether these are to be remembered."""
    context = step_context(base_context(job, services.report), job, step)
    items = (views[position].narrowed(services.blobs) for position in positions)
    try:
        for number, found in rule.ask(items, context):
            position = positions[number]
            if isinstance(found, ItemRejected):
                yield position, encoded_rejection(found), not isinstance(found, Unanswered)
            else:
                yield position, encoded_found(found, step, views[position].item), True
    except SparkError:
        raise
    except Exception as error:
        raise failed(step, "asking", error) from error


def became(
    step: JobStep, rule: AskingTransform, params: Any, view: View, found: Any, blobs: Blobs
) -> list[Mapping[str, Any]]:
    """What the item becomes by what was found of it. Errors: ItemRejected."""
    try:
        made = rule.becomes(view.narrowed(blobs), found, params)
        return [referred(fields, blobs) for fields in made]
    except (ItemRejected, SparkError):
        raise
    except Exception as error:
        raise failed(step, f"on item '{view.item.id}' of {view.item.source}", error) from error
