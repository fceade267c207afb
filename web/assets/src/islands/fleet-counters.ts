/** <fleet-counters src="…">: the operators' figures, as the fleet's event stream brings them. */

import { listen } from "../feed";
import { decimal } from "../format";
import { label, numberLocale } from "../labels";
import type { FleetStats, ShardStats } from "../live";

class FleetCounters extends HTMLElement {
  private stop: (() => void) | undefined;

  connectedCallback(): void {
    this.stop = listen(this.getAttribute("src") ?? "", "fleet", {
      message: (data) => this.show(data as FleetStats),
      state: (state) => this.say(label(state === "live" ? "feed_live" : "connection_lost"), state),
    });
  }

  disconnectedCallback(): void {
    this.stop?.();
  }

  private show(stats: FleetStats): void {
    if (!stats.twins_connected) {
      this.say(label("twins_away"), "lost"); // the last figures stay
      return;
    }
    this.say(label("feed_live"), "live");
    this.put("online", stats.devices_online);
    this.put("devices", stats.devices);
    this.put("messages", stats.messages_per_s, stats.messages_per_s < 10 ? 1 : 0);
    this.put("samples", stats.samples_per_s, stats.samples_per_s < 10 ? 1 : 0);
    this.put("dead", stats.dead_letters);
    this.put("lag", stats.lag_ms);
    this.put("queued", stats.queued_messages);
    for (const [code, count] of Object.entries(stats.dead_letters_by_code)) this.put(`code-${code}`, count);
    for (const shard of stats.shards) this.putShard(shard);
    this.askForNewRows(stats);
  }

  /** A shard or a reason that the page does not know yet needs a row, and rows are the server's to write. */
  private askForNewRows(stats: FleetStats): void {
    const known = new Set([...this.querySelectorAll<HTMLElement>("[data-code]")].map((row) => row.dataset.code));
    const isNew = Object.keys(stats.dead_letters_by_code).some((code) => !known.has(code));
    if (isNew || this.querySelectorAll("[data-shard]").length !== stats.shards.length) {
      this.dispatchEvent(new CustomEvent("changed"));
    }
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

  private say(text: string, look: string): void {
    const words = this.querySelector<HTMLElement>("[data-words]");
    if (words && words.textContent !== text) words.textContent = text;
    if (words?.parentElement) words.parentElement.dataset.look = look;
  }
}

customElements.define("fleet-counters", FleetCounters);
