"""What a server tells of itself at /metrics."""

from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

TOKEN = "of-the-tests-0123456789-abcdefghij"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = [*text_string_to_metric_families(text)]
        self.samples = [sample for family in self.families for sample in family.samples]

    def sum(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have at least these labels."""
        wanted = labels.items()
        return sum(s.value for s in self.samples if s.name == name and wanted <= s.labels.items())

    def values(self, label: str) -> set[str]:
        """The values that the label has anywhere."""
        return {s.labels[label] for s in self.samples if label in s.labels}


def scraped(base: str) -> Scrape:
    """What the server at this URL tells."""
    with urlopen(Request(f"{base}/metrics", headers=BEARER), timeout=30) as response:
        return Scrape(response.read().decode())
