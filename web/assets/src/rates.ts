/** Fleet counters as rates: two readings of each shard's counters make one figure per second. */

export interface ShardStats {
  shard: number;
  epoch: number;
  started_at: number;
  at: number;
  connected: boolean;
  messages: number;
  samples: number;
  duplicates: number;
  dead_letters: number;
  throttled: number;
  twins: number;
  devices_online: number;
  devices: number;
  queued_messages: number;
  lag_ms: number;
  rss_bytes: number;
  dead_letters_by_code: Record<string, number>;
}

export interface Rates {
  messagesPerS: number | null;
  samplesPerS: number | null;
}

/** null until two readings of a shard stand; a shard that restarted in between counts from its next reading on. */
export function rates(before: ShardStats[], now: ShardStats[]): Rates {
  let messagesPerS = 0;
  let samplesPerS = 0;
  let pairs = 0;
  for (const shard of now) {
    const earlier = before.find((other) => other.shard === shard.shard && other.started_at === shard.started_at);
    if (earlier === undefined || shard.at <= earlier.at) continue;
    const seconds = (shard.at - earlier.at) / 1_000;
    messagesPerS += (shard.messages - earlier.messages) / seconds;
    samplesPerS += (shard.samples - earlier.samples) / seconds;
    pairs += 1;
  }
  return pairs === 0 ? { messagesPerS: null, samplesPerS: null } : { messagesPerS, samplesPerS };
}

export interface Totals {
  devicesOnline: number;
  devices: number;
  deadLetters: number;
  queuedMessages: number;
  lagMs: number; // of the slowest shard
  deadLettersByCode: Record<string, number>;
}

export function totals(shards: ShardStats[]): Totals {
  const sum = (pick: (shard: ShardStats) => number) => shards.reduce((total, shard) => total + pick(shard), 0);
  const deadLettersByCode: Record<string, number> = {};
  for (const shard of shards) {
    for (const [code, count] of Object.entries(shard.dead_letters_by_code)) {
      deadLettersByCode[code] = (deadLettersByCode[code] ?? 0) + count;
    }
  }
  return {
    devicesOnline: sum((shard) => shard.devices_online),
    devices: sum((shard) => shard.devices),
    deadLetters: sum((shard) => shard.dead_letters),
    queuedMessages: sum((shard) => shard.queued_messages),
    lagMs: Math.max(0, ...shards.map((shard) => shard.lag_ms)),
    deadLettersByCode,
  };
}
