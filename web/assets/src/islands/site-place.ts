/**
 * <site-place>: where a site is. Two number inputs, [data-latitude] and [data-longitude], hold the answer; this fills them from
 * this phone's position ([data-do=locate]) or from a tap on the map, which is drawn here and loaded when its <details> opens.
 */

import { fitted, moved, type Place, placeAt, project, rounded, type View, zoomed } from "../map/projection";
import { REGIONS, regionAt, regionOfPostcode } from "../map/regions";
import { seatOfPostcode } from "../map/towns";

const TAP_PX = 8; // a finger that moves less has tapped
const STEP_PX = 12; // an arrow key moves the marker this far
const NEAR_PX = 60_000; // the world's width around a town or a known place
const LOCATE_MS = 20_000;

class SitePlace extends HTMLElement {
  private view: View | undefined;
  private draw: typeof import("../map/drawing").draw | undefined;
  private readonly pointers = new Map<number, { x: number; y: number }>();
  private travelled = 0;
  private readonly darkness = matchMedia("(prefers-color-scheme: dark)");
  private readonly repaint = () => this.paint();
  private readonly resize = new ResizeObserver(() => this.paint());

  connectedCallback(): void {
    for (const hidden of this.querySelectorAll<HTMLElement>("[data-with-script]")) hidden.hidden = false;
    this.addEventListener("click", (event) => this.press(event));
    for (const input of [this.latitude, this.longitude]) {
      for (const kind of ["input", "restored"]) input.addEventListener(kind, () => this.typed());
    }
    this.querySelector("details")?.addEventListener("toggle", () => void this.open());
    this.darkness.addEventListener("change", this.repaint);
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
    this.typed();
  }

  disconnectedCallback(): void {
    this.darkness.removeEventListener("change", this.repaint);
    this.resize.disconnect();
  }

  private get canvas(): HTMLCanvasElement {
    return this.querySelector("canvas") as HTMLCanvasElement;
  }

  private get latitude(): HTMLInputElement {
    return this.querySelector("[data-latitude]") as HTMLInputElement;
  }

  private get longitude(): HTMLInputElement {
    return this.querySelector("[data-longitude]") as HTMLInputElement;
  }

  private get postcode(): string {
    return this.closest("form")?.querySelector<HTMLInputElement>("[data-postcode]")?.value.trim() ?? "";
  }

  private get place(): Place | null {
    const [latitude, longitude] = [this.latitude, this.longitude].map((input) =>
      input.value.trim() === "" ? Number.NaN : Number(input.value.replace(",", ".")),
    ) as [number, number];
    return Number.isFinite(latitude) && Number.isFinite(longitude) ? { latitude, longitude } : null;
  }

  private async open(): Promise<void> {
    if (this.querySelector("details")?.open !== true) return;
    this.draw ??= (await import("../map/drawing")).draw;
    this.resize.observe(this.canvas);
    this.look();
    this.canvas.dataset.drawn = "yes";
  }

  /** Towards what is known already: the place, else the postcode's town, else the whole country. */
  private look(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const seat = seatOfPostcode(this.postcode);
    if (this.place !== null) this.view = { centre: project(this.place), worldPx: NEAR_PX };
    else if (seat) this.view = { centre: project(seat), worldPx: NEAR_PX / 2 };
    else this.view = fitted(regionOfPostcode(this.postcode), width, height);
    this.paint();
  }

  private paint(): void {
    if (this.view === undefined || this.draw === undefined || this.canvas.clientWidth === 0) return;
    const look = getComputedStyle(this.canvas);
    const colour = (name: string): string => look.getPropertyValue(`--map-${name}`).trim();
    this.draw(this.canvas, this.view, this.place, {
      sea: resolved(this.canvas, colour("sea")),
      land: resolved(this.canvas, colour("land")),
      other: resolved(this.canvas, colour("other")),
      coast: resolved(this.canvas, colour("coast")),
      ink: resolved(this.canvas, colour("ink")),
      halo: resolved(this.canvas, colour("halo")),
      mark: resolved(this.canvas, colour("mark")),
    });
  }

  private press(event: MouseEvent): void {
    const button = event.target instanceof Element ? event.target.closest<HTMLElement>("button") : null;
    if (button === null) return;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const middle = { x: width / 2, y: height / 2 };
    if (button.dataset.do === "locate") this.locate();
    if (button.dataset.do === "closer" && this.view) this.view = zoomed(this.view, 2, middle, width, height);
    if (button.dataset.do === "further" && this.view) this.view = zoomed(this.view, 0.5, middle, width, height);
    const region = REGIONS.find(({ code }) => code === button.dataset.region);
    if (region) this.view = fitted(region, width, height);
    this.paint();
  }

  private locate(): void {
    this.say("");
    if (!isSecureContext || !("geolocation" in navigator)) {
      this.say("insecure");
      return;
    }
    this.say("locating");
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => {
        this.set(coords);
        this.say("located");
        if (this.view) this.look();
      },
      (problem) => this.say(problem.code === problem.PERMISSION_DENIED ? "refused" : "nowhere"),
      { enableHighAccuracy: true, timeout: LOCATE_MS, maximumAge: 60_000 },
    );
  }

  private set(place: Place): void {
    const { latitude, longitude } = rounded(place);
    this.latitude.value = String(latitude);
    this.longitude.value = String(longitude);
    this.latitude.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /** The place has changed, by whichever way. */
  private typed(): void {
    const { place } = this;
    const zone = place === null ? undefined : regionAt(place.longitude, place.latitude)?.timezone;
    const select = this.closest("form")?.querySelector<HTMLSelectElement>("[data-timezone]");
    if (zone && select && select.value !== zone) select.value = zone;
    const field = select?.closest<HTMLElement>("[data-overseas]");
    if (field)
      field.hidden = (select?.value ?? "Europe/Paris") === "Europe/Paris" && (place === null || zone !== undefined);
    this.paint();
  }

  private at(event: PointerEvent | WheelEvent): { x: number; y: number } {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  private down(event: PointerEvent): void {
    this.canvas.setPointerCapture(event.pointerId);
    if (this.pointers.size === 0) this.travelled = 0;
    this.pointers.set(event.pointerId, this.at(event));
  }

  private drag(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (before === undefined || this.view === undefined) return;
    const now = this.at(event);
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.travelled += Math.hypot(now.x - before.x, now.y - before.y);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const factor = Math.hypot(now.x - other.x, now.y - other.y) / Math.hypot(before.x - other.x, before.y - other.y);
      this.travelled += TAP_PX; // two fingers never tap
      if (Number.isFinite(factor) && factor > 0) this.view = zoomed(this.view, factor, other, width, height);
    } else if (this.travelled > TAP_PX) {
      this.view = moved(this.view, now.x - before.x, now.y - before.y);
    }
    this.pointers.set(event.pointerId, now);
    this.paint();
  }

  private up(event: PointerEvent): void {
    this.pointers.delete(event.pointerId);
    if (this.travelled > TAP_PX || this.pointers.size > 0 || this.view === undefined) return;
    this.set(placeAt(this.at(event), this.view, this.canvas.clientWidth, this.canvas.clientHeight));
    this.say("");
  }

  private wheel(event: WheelEvent): void {
    if (this.view === undefined) return;
    event.preventDefault();
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.view = zoomed(this.view, event.deltaY < 0 ? 1.25 : 0.8, this.at(event), width, height);
    this.paint();
  }

  /** Arrows move the marker, + and − go closer and further. */
  private key(event: KeyboardEvent): void {
    const steps: Record<string, [number, number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const step = steps[event.key];
    if (this.view === undefined) return;
    if (step) {
      const here = project(this.place ?? placeAt({ x: width / 2, y: height / 2 }, this.view, width, height));
      const [dx, dy] = [step[0] * STEP_PX, step[1] * STEP_PX];
      const centre = { x: here.x + dx / this.view.worldPx, y: here.y + dy / this.view.worldPx };
      this.view = { ...this.view, centre };
      this.set(placeAt({ x: width / 2, y: height / 2 }, this.view, width, height));
    } else if (event.key === "+" || event.key === "-") {
      this.view = zoomed(this.view, event.key === "+" ? 2 : 0.5, { x: width / 2, y: height / 2 }, width, height);
      this.paint();
    } else return;
    event.preventDefault();
  }

  private say(what: string): void {
    for (const element of this.querySelectorAll<HTMLElement>("[data-say]"))
      element.hidden = element.dataset.say !== what;
  }
}

/** A canvas knows no light-dark(): the browser says which of the two colours holds here. */
function resolved(element: HTMLElement, colour: string): string {
  element.style.color = colour;
  return getComputedStyle(element).color;
}

customElements.define("site-place", SitePlace);
