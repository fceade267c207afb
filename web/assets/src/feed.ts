/** One event stream per address, shared by every island that listens to it. */

import { renew } from "./session";

export type FeedState = "connecting" | "live" | "lost";

interface Listener {
  message(data: unknown): void;
  state?(state: FeedState): void;
}

const RETRY_MS = [1_000, 2_000, 5_000, 10_000, 30_000]; // the last one repeats

class Feed {
  private readonly listeners = new Set<Listener>();
  private source: EventSource | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private state: FeedState = "connecting";

  constructor(
    private readonly address: string,
    private readonly event: string,
  ) {}

  add(listener: Listener): () => void {
    this.listeners.add(listener);
    listener.state?.(this.state);
    if (this.listeners.size === 1) this.open();
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) this.close();
    };
  }

  private open(): void {
    const source = new EventSource(this.address);
    this.source = source;
    source.addEventListener("open", () => {
      this.failures = 0;
      this.tell("live");
    });
    source.addEventListener(this.event, (event) => {
      const data: unknown = JSON.parse((event as MessageEvent<string>).data);
      this.tell("live");
      for (const listener of this.listeners) listener.message(data);
    });
    source.addEventListener("error", () => {
      this.tell("lost");
      // The browser tries again by itself unless the answer was an error page; then we do.
      if (source.readyState === EventSource.CLOSED) this.openLater();
    });
  }

  private openLater(): void {
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)] ?? 30_000;
    this.failures += 1;
    this.timer = setTimeout(() => void this.reopen(), wait * (0.75 + Math.random() / 2));
  }

  /** The refusal may mean that the access token has run out while the page slept. */
  private async reopen(): Promise<void> {
    await renew();
    if (this.listeners.size > 0) this.open();
  }

  private close(): void {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = undefined;
    this.state = "connecting";
  }

  private tell(state: FeedState): void {
    if (state === this.state) return;
    this.state = state;
    for (const listener of this.listeners) listener.state?.(state);
  }
}

const feeds = new Map<string, Feed>();

/** Listens to `event` messages of the stream at `address`; call the result to stop. */
export function listen(address: string, event: string, listener: Listener): () => void {
  const key = `${event} ${address}`;
  let feed = feeds.get(key);
  if (feed === undefined) {
    feed = new Feed(address, event);
    feeds.set(key, feed);
  }
  return feed.add(listener);
}
