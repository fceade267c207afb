"""What the notifier counts for Prometheus; told where its settings say so (fleet.runtime.metrics_port)."""

from prometheus_client import Counter

# outcome: sent, put_off (tried again later), given_up
mails = Counter("solarperform_notifier_mails", "E-mails that were tried", ("outcome",))
