/** <live-age src="…/events" data-age-ms="…">: says how old the values are, and when the line is down and up again. */

import { age, newestSampleAge } from "../age";
import { type FeedState, listen } from "../feed";
import { label, numberLocale } from "../labels";
import type { SiteLive } from "../live";

const FOUND_AGAIN_MS = 4_000; // how long "connected again" stands

class LiveAge extends HTMLElement {
  private ageMs: number | null = null;
  private since = 0; // of performance.now(), because the reader's clock may be wrong
  private state: FeedState = "connecting";
  private wasLost = false;
  private foundAt = Number.NEGATIVE_INFINITY;
  private stop: (() => void) | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;

  connectedCallback(): void {
    const first = this.dataset.ageMs;
    this.take(first ? Number(first) : null);
    this.stop = listen(this.getAttribute("src") ?? "", "live", {
      message: (data) => {
        const live = data as SiteLive;
        this.take(
          newestSampleAge(
            live.at,
            live.devices.map((device) => device.sample_at ?? null),
          ),
        );
      },
      state: (state) => this.turn(state),
    });
    this.timer = setInterval(() => this.show(), 1_000);
  }

  disconnectedCallback(): void {
    this.stop?.();
    clearInterval(this.timer);
  }

  private take(ageMs: number | null): void {
    this.ageMs = ageMs;
    this.since = performance.now();
    this.show();
  }

  private turn(state: FeedState): void {
    if (state === "live" && this.wasLost) this.foundAt = performance.now();
    this.wasLost = state === "lost";
    this.state = state;
    this.show();
  }

  private show(): void {
    const now = performance.now();
    const current = age(this.ageMs === null ? null : this.ageMs + now - this.since);
    const count = new Intl.NumberFormat(numberLocale()).format(current.count);
    let text = label(current.key, { count });
    let look = current.stale ? "stale" : "live";
    if (this.state === "lost") {
      text = `${label("connection_lost")} · ${text}`;
      look = "lost";
    } else if (now - this.foundAt < FOUND_AGAIN_MS) {
      text = `${label("connection_found")} · ${text}`;
    }
    this.dataset.look = look;
    const words = this.querySelector("[data-words]");
    if (words && words.textContent !== text) words.textContent = text;
    this.announce();
  }

  /** Screen readers hear of losing and finding the line, not of every second. */
  private announce(): void {
    const spoken = this.querySelector("[data-spoken]");
    if (spoken === null) return;
    const text =
      this.state === "lost"
        ? label("connection_lost")
        : performance.now() - this.foundAt < FOUND_AGAIN_MS
          ? label("connection_found")
          : "";
    if (spoken.textContent !== text) spoken.textContent = text;
  }
}

customElements.define("live-age", LiveAge);
