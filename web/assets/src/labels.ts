/** Words of the page's language, given by the server on <body data-labels>: one catalogue serves pages and islands. */

let labels: Record<string, string> | undefined;

function all(): Record<string, string> {
  if (labels === undefined) {
    const text = document.body.dataset.labels;
    labels = text ? (JSON.parse(text) as Record<string, string>) : {};
  }
  return labels;
}

/** The sentence named `key`, its {gaps} filled in. An unknown key shows as itself. */
export function label(key: string, gaps: Record<string, string> = {}): string {
  const sentence = all()[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (whole, name: string) => gaps[name] ?? whole);
}

/** BCP 47 tag for Intl, from <html lang>. */
export function numberLocale(): string {
  return document.documentElement.lang === "en" ? "en-GB" : "fr-FR";
}
