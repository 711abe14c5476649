"""Write the ledger in a format of Prometheus, with its client library."""

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from app.core.metrics.families import BUCKETS, DATABASE_SIZE, ROUND_TRIPS, Family, MetricType
from app.core.metrics.ledger import SUM, Ledger
from app.ops.metrics.size import DatabaseSize

BOUNDS: Final = [*map(floatToGoString, BUCKETS), "+Inf"]


class Exposition(Collector):
    """Collects the ledger, constants and the size of the database."""

    def __init__(self, ledger: Ledger, constants: dict[Family, float], size: DatabaseSize) -> None:
        self.ledger = ledger
        self.constants = constants
        self.size = size

    def write(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics in a format that the Accept header names, and its media type."""
        encode: Callable[[Collector], bytes]
        encode, media_type = choose_encoder(accept)
        return encode(self), media_type

    def collect(self) -> Iterator[Metric]:
        """Yield each metric; of those with several labels only the series that are not zero."""
        for family, value in self.constants.items():
            yield _metric(family, [value])
        self.ledger.set_gauges()
        totals = self.ledger.totals()
        for family in self.ledger.families:
            yield _metric(family, totals[self.ledger.offsets[(family.name, *family.series[0])] :])
        offset = self.ledger.offsets[(ROUND_TRIPS.name,)]
        size = self.size.current(sum(totals[offset : offset + SUM]))
        if size is not None:
            yield _metric(DATABASE_SIZE, [size])


def _metric(family: Family, numbers: list[float]) -> Metric:
    """Return the metric; the numbers of its series are the first of these."""
    shown = [
        (labels, series)
        for index, labels in enumerate(family.series)
        if any(series := numbers[index * family.width : (index + 1) * family.width])
        or len(family.labels) < 2
    ]
    if family.type is MetricType.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
        for labels, series in shown:
            buckets = [*zip(BOUNDS, accumulate(series[:SUM]), strict=True)]
            histogram.add_metric(labels, buckets, series[SUM])
        return histogram
    kind = CounterMetricFamily if family.type is MetricType.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.meaning, labels=family.labels)
    for labels, [number] in shown:
        metric.add_metric(labels, number)
    return metric
