"""What the process that leads rollouts counts for Prometheus; told where its settings say so."""

from prometheus_client import Counter, Gauge

leads = Gauge("solarperform_rollouts_leads", "1 in the one process that leads the rollouts")
held_up = Counter("solarperform_rollouts_held_up", "Steps of rollouts that failed and are tried again")
