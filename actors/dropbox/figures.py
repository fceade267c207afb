"""What the drop box counts for Prometheus; told where its settings say so (fleet.runtime.metrics_port)."""

from prometheus_client import Counter, Gauge

# outcome: in; refused (a wrong password or an unknown account); counted_out (too many of them)
logins = Counter("solarperform_dropbox_logins", "Logins to the drop box", ("outcome",))
turned_away = Counter("solarperform_dropbox_turned_away", "Connections that were not let in at all", ("code",))
connections = Gauge("solarperform_dropbox_connections", "Open connections")
files = Counter("solarperform_dropbox_files", "Files that came whole")
disk_free = Gauge("solarperform_dropbox_disk_free_bytes", "What is free on the disk of the boxes")
