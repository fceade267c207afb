"""What the importer counts for Prometheus; told where its settings say so (fleet.runtime.metrics_port)."""

from prometheus_client import Counter, Gauge

held_up = Counter("solarperform_importer_held_up", "Rounds that failed and were tried again", ("work",))
disk_free = Gauge("solarperform_importer_disk_free_bytes", "What is free on the disk of the original files")
