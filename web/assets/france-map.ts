/** Built into the bundle: outlines of France and of its neighbours as far as the map shows them. */

import type { MultiPolygon, Polygon, Position } from "geojson";
import { feature } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import type { Plugin } from "vite";
import atlas from "world-atlas/countries-10m.json" with { type: "json" };
import { REGIONS, type Region } from "./src/map/regions.ts";

const MODULE = "virtual:france";
const FRANCE = "250";
const STEP_DEG = 0.002; // about 200 m: finer than the source

/** Rings as flat lists of steps from the point before, so that they stay small on the wire. */
export interface Outlines {
  stepDeg: number;
  france: number[][];
  others: number[][];
}

export function franceMap(): Plugin {
  return {
    name: "france-map",
    resolveId: (id) => (id === MODULE ? `\0${MODULE}` : undefined),
    load: (id) => (id === `\0${MODULE}` ? `export default ${JSON.stringify(outlines())}` : undefined),
  };
}

export function outlines(): Outlines {
  const topology = atlas as unknown as Topology;
  const countries = feature(topology, topology.objects.countries as GeometryCollection).features;
  const france: number[][] = [];
  const others: number[][] = [];
  for (const country of countries) {
    for (const ring of rings(country.geometry as Polygon | MultiPolygon)) {
      for (const region of REGIONS) {
        const cut = clipped(ring, around(region));
        if (cut.length > 3) (country.id === FRANCE ? france : others).push(steps(cut));
      }
    }
  }
  return { stepDeg: STEP_DEG, france, others };
}

function rings(geometry: Polygon | MultiPolygon): Position[][] {
  return geometry.type === "Polygon" ? geometry.coordinates : geometry.coordinates.flat();
}

/** A wide screen shows more than the region that the map begins with. */
function around(region: Region): Region {
  const [width, height] = [region.east - region.west, region.north - region.south];
  return {
    ...region,
    west: region.west - 0.6 * width,
    east: region.east + 0.6 * width,
    south: region.south - 0.15 * height,
    north: region.north + 0.15 * height,
  };
}

/** Sutherland and Hodgman's way, against the four sides of the region. */
function clipped(ring: Position[], { west, south, east, north }: Region): Position[] {
  const sides: [number, number, number][] = [
    [0, west, 1],
    [0, east, -1],
    [1, south, 1],
    [1, north, -1],
  ];
  let points = ring;
  for (const [axis, bound, sign] of sides) {
    const kept: Position[] = [];
    points.forEach((to, index) => {
      const from = points.at(index - 1) as Position;
      const [a, b] = [((from[axis] as number) - bound) * sign, ((to[axis] as number) - bound) * sign];
      if (a < 0 !== b < 0) kept.push(between(from, to, a / (a - b)));
      if (b >= 0) kept.push(to);
    });
    points = kept;
  }
  return points;
}

function between(from: Position, to: Position, share: number): Position {
  const [x, y] = from as [number, number];
  return [x + ((to[0] as number) - x) * share, y + ((to[1] as number) - y) * share];
}

function steps(ring: Position[]): number[] {
  const flat: number[] = [];
  let [x, y] = [0, 0];
  for (const point of ring) {
    const [nextX, nextY] = point.map((degrees) => Math.round(degrees / STEP_DEG)) as [number, number];
    if (nextX === x && nextY === y && flat.length > 0) continue;
    flat.push(nextX - x, nextY - y);
    [x, y] = [nextX, nextY];
  }
  return flat;
}
