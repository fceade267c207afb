/** Web Mercator, and a view on it that is moved and zoomed. The world is a square of side 1, y downwards. */

export interface Point {
  x: number;
  y: number;
}

export interface Place {
  longitude: number;
  latitude: number;
}

/** What the map shows: the world point in its middle, and how many pixels wide the world would be. */
export interface View {
  centre: Point;
  worldPx: number;
}

const LATITUDE_MAX = 85; // Mercator has no poles

export function project({ longitude, latitude }: Place): Point {
  const phi = (Math.max(-LATITUDE_MAX, Math.min(LATITUDE_MAX, latitude)) * Math.PI) / 180;
  return { x: (longitude + 180) / 360, y: (1 - Math.log(Math.tan(phi) + 1 / Math.cos(phi)) / Math.PI) / 2 };
}

export function unproject({ x, y }: Point): Place {
  return { longitude: x * 360 - 180, latitude: (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI };
}

/** Where a place lies in a map of this size, in pixels from its upper left corner. */
export function onScreen(world: Point, view: View, width: number, height: number): Point {
  return {
    x: (world.x - view.centre.x) * view.worldPx + width / 2,
    y: (world.y - view.centre.y) * view.worldPx + height / 2,
  };
}

/** The place below a pixel: what a tap means. */
export function placeAt(pixel: Point, view: View, width: number, height: number): Place {
  return unproject(worldAt(pixel, view, width, height));
}

function worldAt(pixel: Point, view: View, width: number, height: number): Point {
  return {
    x: view.centre.x + (pixel.x - width / 2) / view.worldPx,
    y: view.centre.y + (pixel.y - height / 2) / view.worldPx,
  };
}

const WORLD_PX_MIN = 1_500; // all of the mainland in the smallest map
const WORLD_PX_MAX = 1_000_000; // about 30 m to a pixel: finer than the outlines are

/** Closer (factor > 1) or further away; what lies below `pixel` stays there. */
export function zoomed(view: View, factor: number, pixel: Point, width: number, height: number): View {
  const worldPx = Math.max(WORLD_PX_MIN, Math.min(WORLD_PX_MAX, view.worldPx * factor));
  const fixed = worldAt(pixel, view, width, height);
  return {
    worldPx,
    centre: { x: fixed.x - (pixel.x - width / 2) / worldPx, y: fixed.y - (pixel.y - height / 2) / worldPx },
  };
}

export function moved(view: View, dx: number, dy: number): View {
  return { ...view, centre: { x: view.centre.x - dx / view.worldPx, y: view.centre.y - dy / view.worldPx } };
}

/** The view that holds all of these bounds. */
export function fitted(
  bounds: { west: number; south: number; east: number; north: number },
  width: number,
  height: number,
): View {
  const a = project({ longitude: bounds.west, latitude: bounds.north });
  const b = project({ longitude: bounds.east, latitude: bounds.south });
  const worldPx = Math.min(width / (b.x - a.x), height / (b.y - a.y));
  return { centre: { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 }, worldPx };
}

/** Four decimals of a degree are about ten metres. */
export function rounded({ longitude, latitude }: Place): Place {
  return { longitude: Math.round(longitude * 1e4) / 1e4, latitude: Math.round(latitude * 1e4) / 1e4 };
}
