/**
 * <upload-files data-bytes-max="…"> around a form with a file input, a [data-list] and a <template> of one line of it.
 *
 * Chosen or dropped files are sent at once, two at a time, each with its progress; one that was cut off can be tried again.
 * The list of files beside it follows by itself. Without this, the form sends them the plain way.
 */

import { percent } from "../format";
import { label, numberLocale } from "../labels";
import { renew } from "../session";
import { address, type Sending, type Sent, send } from "../uploads";

const AT_ONCE = 2;

class UploadFiles extends HTMLElement {
  private readonly waiting: (() => Promise<void>)[] = [];
  private running = 0;
  private readonly leave = (event: BeforeUnloadEvent) => {
    if (this.running > 0) event.preventDefault();
  };

  connectedCallback(): void {
    for (const each of this.querySelectorAll<HTMLElement>("[data-with-script]")) each.hidden = false;
    for (const each of this.querySelectorAll<HTMLElement>("[data-without-script]")) each.hidden = true;
    this.input.addEventListener("change", () => {
      this.take(this.input.files);
      this.input.value = ""; // the same file can be chosen again
    });
    this.addEventListener("submit", (event) => event.preventDefault());
    const zone = this.querySelector<HTMLElement>(".drop");
    zone?.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.toggleAttribute("data-over", true);
    });
    zone?.addEventListener("dragleave", () => zone.toggleAttribute("data-over", false));
    zone?.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.toggleAttribute("data-over", false);
      this.take(event.dataTransfer?.files ?? null);
    });
    addEventListener("beforeunload", this.leave);
  }

  disconnectedCallback(): void {
    removeEventListener("beforeunload", this.leave);
  }

  private get input(): HTMLInputElement {
    return this.querySelector("input[type=file]") as HTMLInputElement;
  }

  private field(name: string): string {
    return this.querySelector<HTMLInputElement | HTMLSelectElement>(`[name=${name}]`)?.value ?? "";
  }

  private take(files: FileList | null): void {
    const site = this.querySelector<HTMLSelectElement>("select[name=site]");
    if (site !== null && !site.reportValidity()) return;
    for (const file of files ?? []) this.add(file, this.field("site"), this.field("device"));
  }

  private add(file: File, site: string, device: string): void {
    const line = new Line(this.querySelector("template") as HTMLTemplateElement, file.name);
    this.querySelector("[data-list]")?.append(line.element);
    const bytesMax = Number(this.dataset.bytesMax);
    if (file.size > bytesMax) {
      line.end(label("upload_too_large"), false);
      return;
    }
    const begin = () => this.enqueue(() => this.deliver(line, file, address(site, file.name, device)));
    line.again.addEventListener("click", begin);
    begin();
  }

  private enqueue(work: () => Promise<void>): void {
    this.waiting.push(work);
    void this.next();
  }

  private async next(): Promise<void> {
    if (this.running >= AT_ONCE) return;
    const work = this.waiting.shift();
    if (work === undefined) return;
    this.running += 1;
    try {
      await work();
    } finally {
      this.running -= 1;
      void this.next();
    }
  }

  private async deliver(line: Line, file: File, to: string): Promise<void> {
    let sent = await line.follow(send(to, file, (share) => line.progress(share)));
    if (sent.kind === "signed_out") {
      await renew();
      sent = await line.follow(send(to, file, (share) => line.progress(share)));
    }
    if (sent.kind === "done") line.done(sent.id);
    else line.end(this.words(sent), sent.kind === "cut" || sent.kind === "stopped");
  }

  private words(sent: Sent): string {
    if (sent.kind === "refused") return sent.detail || label("upload_refused");
    return label(`upload_${sent.kind}`);
  }
}

/** One file in the list. */
class Line {
  readonly element: HTMLElement;
  private sending: Sending | undefined;

  constructor(template: HTMLTemplateElement, name: string) {
    this.element = (template.content.cloneNode(true) as DocumentFragment).firstElementChild as HTMLElement;
    this.part("[data-name]").textContent = name;
    this.say(label("upload_waiting"));
    this.button("stop").addEventListener("click", () => this.sending?.stop());
    this.button("stop").hidden = true;
  }

  get again(): HTMLButtonElement {
    return this.button("again");
  }

  follow(sending: Sending): Promise<Sent> {
    this.sending = sending;
    this.again.hidden = true;
    this.button("stop").hidden = false;
    this.bar.hidden = false;
    this.progress(0);
    return sending.result;
  }

  progress(share: number): void {
    this.bar.value = share;
    this.say(share < 1 ? percent(share, numberLocale()) : label("upload_checking"));
  }

  done(id: string): void {
    this.end(label("upload_done"), false);
    this.element.dataset.state = "done";
    const link = document.createElement("a");
    link.href = `/imports/${id}`;
    link.className = "row-name";
    link.textContent = this.part("[data-name]").textContent;
    this.part("[data-name]").replaceWith(link);
  }

  end(words: string, again: boolean): void {
    this.say(words);
    this.bar.hidden = true;
    this.button("stop").hidden = true;
    this.again.hidden = !again;
    this.element.dataset.state = "ended";
  }

  private say(words: string): void {
    this.part("[data-words]").textContent = words;
  }

  private get bar(): HTMLProgressElement {
    return this.part("progress") as HTMLProgressElement;
  }

  private button(what: string): HTMLButtonElement {
    return this.part(`[data-do=${what}]`) as HTMLButtonElement;
  }

  private part(selector: string): HTMLElement {
    return this.element.querySelector(selector) as HTMLElement;
  }
}

customElements.define("upload-files", UploadFiles);
