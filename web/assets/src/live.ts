/** What the server's event streams carry: fleet/views.py in TypeScript. Times are Unix ms, powers W. */

import type { PowerFlow } from "./flow";

export interface Health {
  status: string;
  since: number;
  reason: string;
}

export interface SiteLive {
  site: string;
  at: number;
  flow: Partial<PowerFlow>;
  health: Health;
  devices: { device: string; health: Health; sample_at: number | null }[];
  alerts: { id: string; acked_at?: number | null }[];
}

/** Changes when a list on the page has to be asked for again: other alerts, or another state of a device. */
export function signature(live: SiteLive): string {
  const alerts = live.alerts.map((alert) => `${alert.id}${alert.acked_at ? "+" : ""}`).sort();
  const devices = live.devices.map(({ device, health }) => `${device}:${health.status}:${health.reason}`).sort();
  return [live.health.status, ...alerts, ...devices].join(" ");
}

export interface ShardStats {
  shard: number;
  epoch: number;
  connected: boolean;
  twins: number;
  devices_online: number;
  devices: number;
  lag_ms: number;
  rss_bytes: number;
}

export interface FleetStats {
  twins_connected: boolean;
  devices: number;
  devices_online: number;
  messages_per_s: number;
  samples_per_s: number;
  dead_letters: number;
  dead_letters_by_code: Record<string, number>;
  queued_messages: number;
  lag_ms: number;
  shards: ShardStats[];
}
