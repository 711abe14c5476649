"""The ledger as Prometheus reads it, by its own client library."""

from collections.abc import Callable, Iterator

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from app.core.metrics.families import BUCKETS, DATABASE_SIZE, FLIGHTS, Family, Kind
from app.core.metrics.ledger import SUM, Ledger
from app.ops.metrics.size import DatabaseSize

BOUNDS = [*map(floatToGoString, BUCKETS), "+Inf"]


class Exposition(Collector):
    """What the ledger holds now, with what never changes and the size of the database."""

    def __init__(self, ledger: Ledger, constants: dict[Family, float], size: DatabaseSize) -> None:
        self.ledger = ledger
        self.constants = constants
        self.size = size

    def write(self, accept: str) -> tuple[bytes, str]:
        """All of it in a form that the client accepts, and the form's media type."""
        encode: Callable[[Collector], bytes]
        encode, media_type = choose_encoder(accept)
        return encode(self), media_type

    def collect(self) -> Iterator[Metric]:
        """Each metric with its series; of those with labels, the ones that are not zero."""
        for family, value in self.constants.items():
            metric = _metric(family)
            metric.add_sample(
                family.name, dict(zip(family.labels, family.series[0], strict=True)), value
            )
            yield metric
        self.ledger.look()
        totals = self.ledger.totals()
        for family in self.ledger.families:
            yield self._with_series(family, totals)
        place = self.ledger.places[(FLIGHTS.name,)]
        size = self.size.look(sum(totals[place : place + SUM]))
        if size is not None:
            metric = _metric(DATABASE_SIZE)
            metric.add_sample(DATABASE_SIZE.name, {}, size)
            yield metric

    def _with_series(self, family: Family, totals: list[float]) -> Metric:
        metric = _metric(family)
        place = self.ledger.places[(family.name, *family.series[0])]
        for values in family.series:
            numbers = totals[place : place + family.width]
            place += family.width
            if len(family.labels) > 1 and not any(numbers):
                continue
            labels = dict(zip(family.labels, values, strict=True))
            if family.kind is Kind.HISTOGRAM:
                _add_histogram(metric, labels, numbers)
            else:
                metric.add_sample(family.name, labels, numbers[0])
        return metric


def _metric(family: Family) -> Metric:
    return Metric(family.name.removesuffix("_total"), family.meaning, family.kind)


def _add_histogram(metric: Metric, labels: dict[str, str], numbers: list[float]) -> None:
    count = 0.0
    for bound, number in zip(BOUNDS, numbers, strict=False):
        count += number
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, count)
    metric.add_sample(f"{metric.name}_count", labels, count)
    metric.add_sample(f"{metric.name}_sum", labels, numbers[SUM])
