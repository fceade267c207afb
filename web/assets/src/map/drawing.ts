/** Paints the map on a canvas: land, towns as far as there is room for their names, and the marker. Loaded when a map is opened. */

import outlines from "virtual:france";
import { onScreen, type Place, type Point, project, type View } from "./projection";
import { TOWNS, type Town } from "./towns";

type Ring = Point[];

const FRANCE = outlines.france.map(ring);
const OTHERS = outlines.others.map(ring);
const PLACED: [Town, Point][] = [...TOWNS].sort((a, b) => a.rank - b.rank).map((town) => [town, project(town)]);

/** World width in pixels from which towns of each rank are named. */
const NAMED_FROM_PX = [0, 9_000, 22_000];

function ring(steps: number[]): Ring {
  const points: Ring = [];
  let [x, y] = [0, 0];
  for (let index = 0; index + 1 < steps.length; index += 2) {
    x += steps[index] ?? 0;
    y += steps[index + 1] ?? 0;
    points.push(project({ longitude: x * outlines.stepDeg, latitude: y * outlines.stepDeg }));
  }
  return points;
}

export interface Colours {
  sea: string;
  land: string;
  other: string;
  coast: string;
  ink: string;
  halo: string;
  mark: string;
}

export function draw(canvas: HTMLCanvasElement, view: View, mark: Place | null, colours: Colours): void {
  const pen = canvas.getContext("2d");
  if (pen === null) return;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const scale = devicePixelRatio;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.fillStyle = colours.sea;
  pen.fillRect(0, 0, width, height);
  const put = (point: Point): Point => onScreen(point, view, width, height);
  land(pen, OTHERS, put, colours.other, colours.coast);
  land(pen, FRANCE, put, colours.land, colours.coast);
  towns(pen, view, put, width, height, colours);
  if (mark !== null) marker(pen, put(project(mark)), colours);
}

function land(
  pen: CanvasRenderingContext2D,
  rings: Ring[],
  put: (p: Point) => Point,
  fill: string,
  edge: string,
): void {
  pen.beginPath();
  for (const points of rings) {
    points.forEach((point, index) => {
      const { x, y } = put(point);
      if (index === 0) pen.moveTo(x, y);
      else pen.lineTo(x, y);
    });
    pen.closePath();
  }
  pen.fillStyle = fill;
  pen.fill("nonzero");
  pen.strokeStyle = edge;
  pen.lineWidth = 1;
  pen.stroke();
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** The important ones first; a name that would lie over another one is left out. */
function towns(
  pen: CanvasRenderingContext2D,
  view: View,
  put: (p: Point) => Point,
  width: number,
  height: number,
  colours: Colours,
): void {
  const taken: Box[] = [];
  pen.font = '500 12px "Inter", system-ui, sans-serif';
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  for (const [town, world] of PLACED) {
    if (view.worldPx < (NAMED_FROM_PX[town.rank] ?? 0)) continue;
    const { x, y } = put(world);
    if (x < -40 || x > width + 10 || y < -10 || y > height + 10) continue;
    const box = { left: x - 5, right: x + 10 + pen.measureText(town.name).width, top: y - 9, bottom: y + 9 };
    if (taken.some((other) => overlap(box, other))) continue;
    taken.push(box);
    pen.fillStyle = colours.ink;
    pen.beginPath();
    pen.arc(x, y, 2.5, 0, 2 * Math.PI);
    pen.fill();
    pen.strokeStyle = colours.halo;
    pen.lineWidth = 3;
    pen.strokeText(town.name, x + 6, y);
    pen.fillText(town.name, x + 6, y);
  }
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

function marker(pen: CanvasRenderingContext2D, { x, y }: Point, colours: Colours): void {
  pen.beginPath();
  pen.moveTo(x, y);
  pen.bezierCurveTo(x - 4, y - 10, x - 12, y - 14, x - 12, y - 23);
  pen.arc(x, y - 23, 12, Math.PI, 0);
  pen.bezierCurveTo(x + 12, y - 14, x + 4, y - 10, x, y);
  pen.closePath();
  pen.fillStyle = colours.mark;
  pen.fill();
  pen.strokeStyle = colours.halo;
  pen.lineWidth = 2;
  pen.stroke();
  pen.beginPath();
  pen.arc(x, y - 23, 4.5, 0, 2 * Math.PI);
  pen.fillStyle = colours.halo;
  pen.fill();
}
