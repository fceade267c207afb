/**
 * <pv-arrays>: the roofs of a form, each in a [data-array] with controls named array-N-…; <template> holds a new one, whose
 * names carry the number "new". Adds and removes them, and puts a slider and common slopes beside each tilt.
 */

class PvArrays extends HTMLElement {
  connectedCallback(): void {
    this.addEventListener("click", (event) => this.press(event));
    this.addEventListener("input", (event) => this.follow(event.target));
    this.addEventListener("restored", (event) => this.follow(event.target));
    this.closest("kept-form")?.addEventListener("restoring", (event) => {
      this.makeRoomFor((event as CustomEvent<[string, string][]>).detail);
    });
    for (const array of this.arrays()) enliven(array);
    this.number();
  }

  private arrays(): HTMLElement[] {
    return [...this.querySelectorAll<HTMLElement>("[data-array]")];
  }

  private press(event: MouseEvent): void {
    const button = event.target instanceof Element ? event.target.closest<HTMLElement>("button") : null;
    if (button === null) return;
    const array = button.closest<HTMLElement>("[data-array]");
    if (button.dataset.do === "add-array") {
      event.preventDefault();
      this.add().querySelector<HTMLElement>("input")?.focus();
      this.tellForm();
    } else if (button.dataset.do === "remove-array" && array !== null) {
      event.preventDefault();
      array.remove();
      this.number();
      this.tellForm();
    } else if (button.dataset.tilt !== undefined && array !== null) {
      const tilt = array.querySelector<HTMLInputElement>("[data-tilt-value]");
      if (tilt === null) return;
      tilt.value = button.dataset.tilt;
      tilt.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }

  private add(): HTMLElement {
    const template = this.querySelector("template") as HTMLTemplateElement;
    const made = template.content.firstElementChild?.cloneNode(true) as HTMLElement;
    const last = this.arrays().at(-1);
    if (last) last.after(made);
    else template.before(made);
    enliven(made);
    this.number();
    return made;
  }

  private makeRoomFor(fields: [string, string][]): void {
    const numbers = fields.map(([name]) => /^array-(\d+)-/.exec(name)?.[1]).filter((found) => found !== undefined);
    const wanted = numbers.length === 0 ? 1 : Math.max(...numbers.map(Number)) + 1;
    while (this.arrays().length < wanted) this.add();
    while (this.arrays().length > wanted) this.arrays().at(-1)?.remove();
    this.number();
  }

  /** Names, ids and titles carry the roof's number. */
  private number(): void {
    this.arrays().forEach((array, index) => {
      for (const element of array.querySelectorAll<HTMLElement>("[name], [id], [for]")) {
        for (const attribute of ["name", "id", "for"]) {
          const value = element.getAttribute(attribute);
          if (value) element.setAttribute(attribute, value.replace(/^array-(\d+|new)-/, `array-${index}-`));
        }
      }
      const title = array.querySelector("[data-number]");
      if (title) title.textContent = String(index + 1);
      const remove = array.querySelector<HTMLElement>('[data-do="remove-array"]');
      if (remove) remove.hidden = this.arrays().length === 1;
    });
  }

  /** Slider and number of one tilt say the same. */
  private follow(target: EventTarget | null): void {
    if (!(target instanceof HTMLInputElement)) return;
    const array = target.closest("[data-array]");
    if (target.matches("[data-tilt-value]")) {
      const slider = array?.querySelector<HTMLInputElement>("[data-tilt-slider]");
      if (slider) slider.value = target.value || "0";
      draw(array, Number(target.value));
    } else if (target.matches("[data-tilt-slider]")) {
      const value = array?.querySelector<HTMLInputElement>("[data-tilt-value]");
      if (value) value.value = target.value;
      draw(array, Number(target.value));
    }
  }

  private tellForm(): void {
    this.dispatchEvent(new Event("change", { bubbles: true }));
  }
}

function enliven(array: HTMLElement): void {
  for (const hidden of array.querySelectorAll<HTMLElement>("[data-with-script]")) hidden.hidden = false;
  draw(array, Number(array.querySelector<HTMLInputElement>("[data-tilt-value]")?.value ?? 0));
}

/** The roof's slope beside its number. */
function draw(array: Element | null | undefined, tiltDeg: number): void {
  const line = array?.querySelector<SVGElement>("[data-tilt-line]");
  const tilt = Math.max(0, Math.min(90, Number.isFinite(tiltDeg) ? tiltDeg : 0));
  line?.setAttribute("transform", `rotate(${-tilt} 6 40)`);
}

customElements.define("pv-arrays", PvArrays);
