/**
 * <state-watch src="…/events" event="…">: has its content fetched again by htmx when the server says that something happened,
 * when the page comes back to sight, and when the network does. hx-trigger="changed, …" stands on the element.
 *
 * What comes back the same is left alone: folds stay open, and screen readers do not hear it again.
 */

import { listen } from "../feed";

const PAUSE_MS = 700; // more news in that time is one

interface BeforeSwap {
  serverResponse: string;
  shouldSwap: boolean;
}

class StateWatch extends HTMLElement {
  private stop: (() => void) | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private last = "";
  private readonly compare = (event: Event) => this.keepSame(event as CustomEvent<BeforeSwap>);
  private readonly back = () => {
    if (document.visibilityState === "visible") this.soon();
  };

  connectedCallback(): void {
    this.addEventListener("htmx:beforeSwap", this.compare);
    const address = this.getAttribute("src");
    if (address) {
      this.stop = listen(address, this.getAttribute("event") ?? "live", {
        message: (data) => this.take(JSON.stringify(data)),
        state: (state) => this.toggleAttribute("data-lost", state === "lost"),
      });
    }
    document.addEventListener("visibilitychange", this.back);
    addEventListener("online", this.back);
    addEventListener("pageshow", this.back);
  }

  disconnectedCallback(): void {
    this.stop?.();
    clearTimeout(this.timer);
    this.removeEventListener("htmx:beforeSwap", this.compare);
    document.removeEventListener("visibilitychange", this.back);
    removeEventListener("online", this.back);
    removeEventListener("pageshow", this.back);
  }

  private keepSame(event: CustomEvent<BeforeSwap>): void {
    if (event.target !== this) return; // of something inside
    const answer = new DOMParser().parseFromString(event.detail.serverResponse, "text/html");
    const fresh = answer.getElementById(this.id);
    // Islands inside change what is hidden, never what is said.
    const same = fresh?.textContent === this.textContent && fresh?.dataset.state === this.dataset.state;
    if (same) event.detail.shouldSwap = false;
  }

  private take(news: string): void {
    if (news !== this.last) this.soon();
    this.last = news;
  }

  private soon(): void {
    if (this.timer !== undefined) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.dispatchEvent(new CustomEvent("changed"));
    }, PAUSE_MS);
  }
}

customElements.define("state-watch", StateWatch);
