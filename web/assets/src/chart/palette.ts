/** The page's colours for a canvas, read from the style sheet so that light and dark stand in one place. */

const NAMES = ["sun", "load", "own", "import", "export", "battery", "ink", "muted", "line", "surface"] as const;
/** font: a canvas inherits none. */
export type Palette = Record<(typeof NAMES)[number] | "font", string>;

export function palette(): Palette {
  const probe = document.createElement("span");
  document.body.append(probe);
  const read = (name: string): string => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const colours = Object.fromEntries(NAMES.map((name) => [name, read(name)]));
  const font = getComputedStyle(probe).fontFamily;
  probe.remove();
  return { ...colours, font } as Palette;
}

/** `colour` (as computed style gives it) with another opacity. */
export function faded(colour: string, opacity: number): string {
  const numbers = colour.match(/[\d.]+/g)?.slice(0, 3) ?? ["0", "0", "0"];
  return `rgba(${numbers.join(",")},${opacity})`;
}

/** Diagonal strokes: what is estimated looks different without colour, too. */
export function hatch(colour: string): { image: HTMLCanvasElement; repeat: "repeat" } {
  const image = document.createElement("canvas");
  image.width = image.height = 8;
  const pen = image.getContext("2d");
  if (pen) {
    pen.strokeStyle = faded(colour, 0.7);
    pen.lineWidth = 1.5;
    for (const x of [-4, 0, 4, 8]) {
      pen.moveTo(x, 8);
      pen.lineTo(x + 8, 0);
    }
    pen.stroke();
  }
  return { image, repeat: "repeat" };
}
