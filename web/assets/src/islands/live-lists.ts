/**
 * <live-lists src="…/events">: has its content fetched again by htmx when alerts or the state of a device change.
 *
 * The server writes the lists; this only says when. hx-trigger="changed" stands on the element.
 */

import { listen } from "../feed";
import { type SiteLive, signature } from "../live";

class LiveLists extends HTMLElement {
  private last: string | undefined;
  private stop: (() => void) | undefined;

  connectedCallback(): void {
    this.last = this.dataset.signature;
    this.stop = listen(this.getAttribute("src") ?? "", "live", {
      message: (data) => {
        const now = signature(data as SiteLive);
        if (this.last !== undefined && now !== this.last) this.dispatchEvent(new CustomEvent("changed"));
        this.last = now;
      },
    });
  }

  disconnectedCallback(): void {
    this.stop?.();
  }
}

customElements.define("live-lists", LiveLists);
