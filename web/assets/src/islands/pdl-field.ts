/** <pdl-field> around an input: shows the meter's number in the groups in which it stands on the meter. */

import { caretAfter, digits, grouped, PDL_GROUPS } from "../grouping";

class PdlField extends HTMLElement {
  connectedCallback(): void {
    const input = this.querySelector("input");
    input?.addEventListener("input", () => regroup(input));
    input?.addEventListener("restored", () => regroup(input));
    if (input) regroup(input);
  }
}

function regroup(input: HTMLInputElement): void {
  const caret = input.selectionStart ?? input.value.length;
  const before = digits(input.value.slice(0, caret)).length;
  const text = grouped(digits(input.value).slice(0, 14), PDL_GROUPS);
  if (text === input.value) return;
  input.value = text;
  if (document.activeElement === input) input.setSelectionRange(caretAfter(text, before), caretAfter(text, before));
}

customElements.define("pdl-field", PdlField);
