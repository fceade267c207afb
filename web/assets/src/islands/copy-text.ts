/** <copy-text> around a [data-copy] text and a button: copies the text, and says that it did by showing [data-done]. */

const SAID_MS = 2_500;

class CopyText extends HTMLElement {
  connectedCallback(): void {
    const button = this.querySelector("button");
    if (button === null) return;
    button.hidden = false;
    button.addEventListener("click", () => void this.copy());
  }

  private async copy(): Promise<void> {
    const text = this.querySelector<HTMLElement>("[data-copy]");
    if (text === null) return;
    if (!(await copied(text.textContent?.trim() ?? ""))) {
      getSelection()?.selectAllChildren(text); // the reader's own copy command does the rest
      return;
    }
    const done = this.querySelector<HTMLElement>("[data-done]");
    if (done === null) return;
    done.hidden = false;
    setTimeout(() => {
      done.hidden = true;
    }, SAID_MS);
  }
}

/** The clipboard is there in secure contexts only. */
async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

customElements.define("copy-text", CopyText);
