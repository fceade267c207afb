/** <fleet-counters src="…">: the operators' figures, from the shards' counters as they come. */

import { listen } from "../feed";
import { decimal } from "../format";
import { label, numberLocale } from "../labels";
import { rates, type ShardStats, totals } from "../rates";

class FleetCounters extends HTMLElement {
  private earlier: ShardStats[] = [];
  private stop: (() => void) | undefined;

  connectedCallback(): void {
    const first = this.dataset.shards;
    if (first) this.earlier = JSON.parse(first) as ShardStats[];
    this.stop = listen(this.getAttribute("src") ?? "", "fleet", {
      message: (data) => this.take((data as { shards: ShardStats[] }).shards),
      state: (state) => {
        this.dataset.look = state;
        const words = this.querySelector("[data-words]");
        if (words) words.textContent = label(state === "lost" ? "connection_lost" : "feed_live");
      },
    });
  }

  disconnectedCallback(): void {
    this.stop?.();
  }

  private take(shards: ShardStats[]): void {
    const { messagesPerS, samplesPerS } = rates(this.earlier, shards);
    this.earlier = shards;
    const sum = totals(shards);
    this.put("online", sum.devicesOnline);
    this.put("devices", sum.devices);
    if (messagesPerS !== null) this.put("messages", messagesPerS, messagesPerS < 10 ? 1 : 0);
    if (samplesPerS !== null) this.put("samples", samplesPerS, samplesPerS < 10 ? 1 : 0);
    this.put("dead", sum.deadLetters);
    this.put("lag", sum.lagMs);
    this.put("queued", sum.queuedMessages);
    for (const shard of shards) this.putShard(shard);
    // A shard or a reason that the page does not know yet needs a row of its own, which the server writes.
    const codes = Object.keys(sum.deadLettersByCode).length;
    const rows = this.querySelectorAll("[data-shard]").length;
    if (rows !== shards.length || codes !== this.querySelectorAll("[data-code]").length)
      this.dispatchEvent(new CustomEvent("changed"));
    for (const [code, count] of Object.entries(sum.deadLettersByCode)) this.put(`code-${code}`, count);
  }

  private putShard(shard: ShardStats): void {
    const row = this.querySelector(`[data-shard="${shard.shard}"]`);
    const put = (name: string, text: string) => row?.querySelector(`[data-field="${name}"]`)?.replaceChildren(text);
    const locale = numberLocale();
    put("connected", label(shard.connected ? "broker_up" : "broker_down"));
    put("epoch", decimal(shard.epoch, 0, locale));
    put("devices", `${decimal(shard.devices_online, 0, locale)} / ${decimal(shard.devices, 0, locale)}`);
    put("twins", decimal(shard.twins, 0, locale));
    put("memory", decimal(shard.rss_bytes / 1_048_576, 0, locale));
    put("lag", decimal(shard.lag_ms, 0, locale));
  }

  private put(name: string, value: number, digits = 0): void {
    const place = this.querySelector<HTMLElement>(`[data-counter="${name}"]`);
    if (place) place.textContent = decimal(value, digits, numberLocale());
  }
}

customElements.define("fleet-counters", FleetCounters);
