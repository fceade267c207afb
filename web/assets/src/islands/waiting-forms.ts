/**
 * <waiting-forms>: on every page, sends what was filled in elsewhere and has not left this phone yet.
 *
 * Inside: [data-say="waiting"] with a [data-count], and [data-say="sent"] with a link.
 */

import { type Draft, forget, pauseBefore, send, tidied } from "../keeping";
import { person } from "../session";

class WaitingForms extends HTMLElement {
  private readonly onOnline = () => void this.deliver();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private attempt = 0;
  private sending = false;

  connectedCallback(): void {
    addEventListener("online", this.onOnline);
    void this.deliver();
  }

  disconnectedCallback(): void {
    removeEventListener("online", this.onOnline);
    clearTimeout(this.timer);
  }

  private async deliver(): Promise<void> {
    if (this.sending) return;
    this.sending = true;
    clearTimeout(this.timer);
    for (const [name, draft] of this.elsewhere()) {
      const outcome = await send(draft.action, draft.fields, fetch);
      if (outcome.kind === "done") {
        forget(localStorage, name);
        this.tellSent(draft, outcome.url);
      } else if (outcome.kind === "refused") {
        break; // whoever filled it in has to look at it: the page it was filled in on says what is wrong
      } else {
        this.timer = setTimeout(() => void this.deliver(), pauseBefore(this.attempt));
        this.attempt += 1;
        break;
      }
    }
    this.sending = false;
    const left = this.elsewhere();
    this.tell("waiting", left.length > 0, left[0]?.[1]);
  }

  /** A form that stands on this page sends itself. */
  private elsewhere(): [string, Draft][] {
    const here = new Set([...document.querySelectorAll("kept-form")].map((form) => form.getAttribute("name")));
    return tidied(localStorage, person(), Date.now()).filter(([name]) => !here.has(name));
  }

  private tellSent(draft: Draft, url: string): void {
    this.tell("sent", true, draft);
    this.querySelector<HTMLAnchorElement>('[data-say="sent"] a')?.setAttribute("href", url);
  }

  private tell(what: string, shown: boolean, draft?: Draft): void {
    const element = this.querySelector<HTMLElement>(`[data-say="${what}"]`);
    if (element === null) return;
    element.hidden = !shown;
    const title = element.querySelector("[data-title]");
    if (title && draft) title.textContent = draft.title;
    const link = element.querySelector<HTMLAnchorElement>("a");
    if (link && draft) link.setAttribute("href", draft.page);
  }
}

customElements.define("waiting-forms", WaitingForms);
