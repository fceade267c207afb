/** Long numbers in groups that an eye can keep. */

/** "12345678901234", [2, 3, 3, 3, 3] → "12 345 678 901 234"; what is longer than the groups stays at the end. */
export function grouped(text: string, sizes: readonly number[], between = " "): string {
  const groups: string[] = [];
  let start = 0;
  for (const size of sizes) {
    if (start >= text.length) break;
    groups.push(text.slice(start, start + size));
    start += size;
  }
  if (start < text.length) groups.push(text.slice(start));
  return groups.join(between);
}

/** As it stands on the Linky's screen and on bills. */
export const PDL_GROUPS = [2, 3, 3, 3, 3] as const;

export function digits(text: string): string {
  return text.replace(/\D/g, "");
}

/** Where the caret belongs in the grouped text so that as many digits stand before it as before. */
export function caretAfter(groupedText: string, digitsBefore: number): number {
  let seen = 0;
  for (let index = 0; index < groupedText.length; index += 1) {
    if (seen === digitsBefore) return index;
    if (/\d/.test(groupedText[index] ?? "")) seen += 1;
  }
  return groupedText.length;
}
