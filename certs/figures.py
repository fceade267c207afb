"""What the authority tells Prometheus, where its settings say so (fleet.runtime.metrics_port)."""

from collections.abc import Iterator

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from certs.authority import Pki

answers = Counter("solarperform_est_answers", "Answers to devices that enrol or renew", ("code",))


class OwnCertificates(Collector):
    """Of the platform and its servers, a handful; the devices' own are counted in the database.

    Read at each scrape, the authorities as well: it is the job of the keys that renews them, in the same folder.
    """

    def __init__(self, pki: Pki) -> None:
        self._folder = pki.folder

    def collect(self) -> Iterator[Metric]:
        ends = GaugeMetricFamily(
            "solarperform_certificate_end_time_seconds",
            "When a certificate of ours ends, Unix time",
            labels=("kind", "name"),
        )
        pki = Pki(self._folder)
        authorities = (pki.root, pki.devices, pki.platform, pki.servers)
        for name, authority in zip(("root", "devices", "platform", "servers"), authorities, strict=True):
            ends.add_metric(("authority", name), authority.cert.not_valid_after_utc.timestamp())
        for kind, name, end in pki.leaves("platform", "servers"):
            ends.add_metric((kind, name), end.timestamp())
        yield ends
