/**
 * <kept-form name="…" data-title="…"> around a form: keeps what is typed in this browser until the server has taken it.
 *
 * Without a network the form waits and is sent as soon as there is one; its request_id stays the same until it was taken, so
 * nothing is made twice. What to say stands in the page as elements with data-say. Passwords and files are never kept.
 */

import { type Draft, forget, keep, kept, pauseBefore, send } from "../keeping";
import { person, renew } from "../session";

const SAVE_AFTER_MS = 400;

type Saying = "restored" | "offline" | "signed_out" | "sending";

class KeptForm extends HTMLElement {
  private readonly onOnline = () => void this.deliver();
  private saving: ReturnType<typeof setTimeout> | undefined;
  private retrying: ReturnType<typeof setTimeout> | undefined;
  private attempt = 0;
  private sending = false;
  private waiting = false;
  private pressed: [string, string] | undefined;

  connectedCallback(): void {
    this.form.addEventListener("input", () => this.saveSoon());
    this.form.addEventListener("change", () => this.saveSoon());
    this.form.addEventListener("submit", (event) => this.submit(event));
    this.addEventListener("click", (event) => this.press(event));
    addEventListener("online", this.onOnline);
    queueMicrotask(() => this.restore()); // after the islands inside have come to life
  }

  disconnectedCallback(): void {
    removeEventListener("online", this.onOnline);
    clearTimeout(this.saving);
    clearTimeout(this.retrying);
  }

  private get form(): HTMLFormElement {
    return this.querySelector("form") as HTMLFormElement;
  }

  private get name(): string {
    return this.getAttribute("name") ?? this.form.action;
  }

  /** A form that the server has just sent back with its complaint is newer than what is kept. */
  private restore(): void {
    if (this.hasAttribute("data-refused")) {
      this.save(false);
      return;
    }
    const draft = kept(localStorage, this.name, person(), Date.now());
    if (draft === undefined) return;
    this.dispatchEvent(new CustomEvent("restoring", { detail: draft.fields, bubbles: true }));
    this.fill(draft.fields);
    this.say("restored", true);
    if (draft.waiting) void this.deliver(true);
  }

  private fill(fields: [string, string][]): void {
    const named = new Map<string, string[]>();
    for (const [name, value] of fields) named.set(name, [...(named.get(name) ?? []), value]);
    for (const control of this.form.elements) {
      if (!isKept(control)) continue;
      const values = named.get(control.name);
      if (control instanceof HTMLInputElement && (control.type === "checkbox" || control.type === "radio")) {
        control.checked = values?.includes(control.value) ?? false;
      } else if (values?.[0] !== undefined) {
        control.value = values[0];
      }
      control.dispatchEvent(new Event("restored", { bubbles: true }));
    }
  }

  private saveSoon(): void {
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.save(this.waiting), SAVE_AFTER_MS);
  }

  private save(waiting: boolean): void {
    clearTimeout(this.saving);
    this.waiting = waiting;
    const draft: Draft = {
      person: person(),
      action: this.action,
      page: location.pathname + location.search,
      title: this.dataset.title ?? document.title,
      fields: this.fields(),
      savedAt: Date.now(),
      waiting,
    };
    keep(localStorage, this.name, draft);
  }

  private get action(): string {
    return this.form.getAttribute("action") ?? location.pathname;
  }

  private fields(): [string, string][] {
    const names = new Set([...this.form.elements].filter(isKept).map((control) => control.name));
    const fields = [...new FormData(this.form)].filter(
      (entry): entry is [string, string] => names.has(entry[0]) && typeof entry[1] === "string",
    );
    return this.pressed === undefined ? fields : [...fields, this.pressed];
  }

  private submit(event: SubmitEvent): void {
    if (event.defaultPrevented) return; // an island inside has dealt with that button
    const button = event.submitter as HTMLButtonElement | null;
    if (button?.formNoValidate) return; // goes to the server as it is, which sends the page again
    event.preventDefault();
    this.pressed = button?.name ? [button.name, button.value] : undefined;
    this.attempt = 0;
    this.save(true);
    void this.deliver(true);
  }

  private press(event: MouseEvent): void {
    const button = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-do]") : null;
    if (button?.dataset.do === "retry") void this.deliver(true);
    if (button?.dataset.do === "clear") {
      this.waiting = false;
      forget(localStorage, this.name);
      location.replace(location.pathname + location.search);
    }
  }

  private async deliver(asked = this.waiting): Promise<void> {
    if (!asked || this.sending) return;
    this.sending = true;
    clearTimeout(this.retrying);
    this.busy(true);
    let outcome = await send(this.action, this.fields(), fetch);
    if (outcome.kind === "signed_out") {
      await renew();
      outcome = await send(this.action, this.fields(), fetch);
    }
    this.sending = false;
    this.busy(false);
    this.say("restored", false);
    this.say("offline", outcome.kind === "offline");
    this.say("signed_out", outcome.kind === "signed_out");
    if (outcome.kind === "done") {
      clearTimeout(this.saving);
      forget(localStorage, this.name);
      location.assign(outcome.url);
    } else if (outcome.kind === "refused") {
      this.save(false);
      show(outcome.html);
    } else if (outcome.kind === "offline") {
      this.waiting = true;
      this.retrying = setTimeout(() => void this.deliver(true), pauseBefore(this.attempt));
      this.attempt += 1;
    }
  }

  private busy(busy: boolean): void {
    this.say("sending", busy);
    this.toggleAttribute("data-busy", busy);
    for (const button of this.form.querySelectorAll<HTMLButtonElement>("button:not([type=button])")) {
      button.disabled = busy;
    }
  }

  private say(what: Saying, shown: boolean): void {
    for (const element of this.querySelectorAll<HTMLElement>(`[data-say="${what}"]`)) {
      element.hidden = !shown;
      if (shown && what === "offline") element.scrollIntoView({ block: "nearest" });
    }
  }
}

type Control = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

function isKept(control: Element): control is Control {
  if (control instanceof HTMLInputElement) {
    return control.name !== "" && control.type !== "password" && control.type !== "file";
  }
  return (control instanceof HTMLSelectElement || control instanceof HTMLTextAreaElement) && control.name !== "";
}

/** The server's page about what it did not take, in the place of this one. */
function show(html: string): void {
  const main = new DOMParser().parseFromString(html, "text/html").querySelector("main");
  const here = document.querySelector("main");
  if (main === null || here === null) return;
  here.replaceWith(main);
  const complaint = main.querySelector<HTMLElement>("[role=alert]:not([hidden])");
  (complaint ?? main).scrollIntoView({ block: "start" });
}

customElements.define("kept-form", KeptForm);
