/**
 * <scan-code>: fills the form's [data-scanned] input from the camera ([data-do=scan]) or from a picture ([data-picture]), and
 * sends the form. The camera needs HTTPS; a picture does not, and typing always works. What to say stands in [data-say].
 */

import { type Reader, reader } from "../scanning";

const LOOK_MS = 200;

class ScanCode extends HTMLElement {
  private stream: MediaStream | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly hide = () => {
    if (document.visibilityState === "hidden") this.stop();
  };

  connectedCallback(): void {
    for (const hidden of this.querySelectorAll<HTMLElement>("[data-with-script]")) hidden.hidden = false;
    this.querySelector('[data-do="scan"]')?.addEventListener("click", () => void this.start());
    this.querySelector('[data-do="stop"]')?.addEventListener("click", () => this.stop());
    this.querySelector<HTMLInputElement>("[data-picture]")?.addEventListener("change", (event) => {
      void this.look(event.currentTarget as HTMLInputElement);
    });
    document.addEventListener("visibilitychange", this.hide);
  }

  disconnectedCallback(): void {
    this.stop();
    document.removeEventListener("visibilitychange", this.hide);
  }

  private get video(): HTMLVideoElement {
    return this.querySelector("video") as HTMLVideoElement;
  }

  private async start(): Promise<void> {
    this.say("");
    if (!isSecureContext || !navigator.mediaDevices) {
      this.say("insecure");
      return;
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
    } catch (error) {
      this.say((error as DOMException).name === "NotAllowedError" ? "refused" : "no_camera");
      return;
    }
    this.toggleAttribute("data-scanning", true);
    this.video.srcObject = this.stream;
    await this.video.play().catch(() => undefined);
    void this.watch(await reader());
  }

  private async watch(codes: Reader): Promise<void> {
    if (this.stream === undefined) return;
    const text = await codes.read(this.video).catch(() => null);
    if (text) {
      navigator.vibrate?.(60);
      this.take(text);
      return;
    }
    this.timer = setTimeout(() => void this.watch(codes), LOOK_MS);
  }

  private async look(input: HTMLInputElement): Promise<void> {
    const [file] = input.files ?? [];
    if (file === undefined) return;
    this.say("reading");
    const picture = await createImageBitmap(file).catch(() => null);
    const text = picture === null ? null : await (await reader()).read(picture).catch(() => null);
    input.value = "";
    if (text) this.take(text);
    else this.say("unreadable");
  }

  private take(text: string): void {
    this.stop();
    this.say("");
    const field = this.closest("form")?.querySelector<HTMLInputElement>("[data-scanned]");
    if (!field) return;
    field.value = text;
    field.form?.requestSubmit();
  }

  private stop(): void {
    clearTimeout(this.timer);
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = undefined;
    this.toggleAttribute("data-scanning", false);
  }

  private say(what: string): void {
    for (const element of this.querySelectorAll<HTMLElement>("[data-say]"))
      element.hidden = element.dataset.say !== what;
  }
}

customElements.define("scan-code", ScanCode);
