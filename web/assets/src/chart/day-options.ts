/** The day curve as ECharts options. */

import { type CurveName, clock, curves, type DaySeries, isTick, type Values, withoutRest } from "../day";
import { power, spoken } from "../format";
import { label } from "../labels";
import type { EChartsCoreOption } from "./echarts";
import { faded, hatch, type Palette } from "./palette";

interface Stroke {
  name: CurveName;
  colour: keyof Palette;
  sign: 1 | -1; // what leaves the house is drawn below zero
  fill: number; // opacity of the area
  width: number;
  rests?: true; // a long zero is drawn as nothing, so that the axis keeps its own colour
}

const STROKES: Stroke[] = [
  { name: "pv", colour: "sun", sign: 1, fill: 0.32, width: 2 },
  { name: "import", colour: "import", sign: 1, fill: 0.22, width: 1.5, rests: true },
  { name: "export", colour: "export", sign: -1, fill: 0.22, width: 1.5, rests: true },
  { name: "discharge", colour: "battery", sign: 1, fill: 0.16, width: 1.5, rests: true },
  { name: "charge", colour: "battery", sign: -1, fill: 0.16, width: 1.5, rests: true },
  { name: "load", colour: "load", sign: 1, fill: 0, width: 2.25 },
];

interface TipPoint {
  dataIndex: number;
}

/** hidden: names that the reader has switched off. */
export function dayOptions(
  day: DaySeries,
  colours: Palette,
  locale: string,
  narrow: boolean,
  hidden: Set<string>,
): EChartsCoreOption {
  const all = curves(day);
  const shown = STROKES.filter(({ name }) => day[name] !== null && !hidden.has(family(name)));
  const tickHours = narrow ? 6 : 3;
  return {
    animation: false,
    textStyle: { fontFamily: colours.font },
    grid: { left: 4, right: narrow ? 14 : 18, top: 30, bottom: 4, containLabel: true },
    tooltip: {
      trigger: "axis",
      renderMode: "richText", // HTML tips need inline styles, which the content security policy forbids
      confine: true,
      backgroundColor: colours.surface,
      borderColor: colours.line,
      textStyle: { color: colours.ink, fontSize: 13, lineHeight: 20 },
      axisPointer: { lineStyle: { color: colours.muted } },
      formatter: (points: TipPoint[]) => tip(day, all, points[0]?.dataIndex ?? 0, locale),
    },
    xAxis: {
      type: "category",
      data: day.quality.map((_, i) => clock(day, i, locale)),
      axisLine: { onZero: true, lineStyle: { color: colours.muted } },
      axisTick: { show: false },
      axisLabel: {
        color: colours.muted,
        fontSize: 12,
        interval: (i: number) => isTick(day, i, tickHours),
      },
    },
    yAxis: {
      type: "value",
      name: "kW",
      nameLocation: "end",
      nameTextStyle: { color: colours.muted, fontSize: 12, align: "right" },
      splitNumber: 4,
      axisLabel: { color: colours.muted, fontSize: 12, formatter: (watts: number) => kilowatts(watts, locale) },
      splitLine: { lineStyle: { color: colours.line } },
    },
    series: shown.flatMap((stroke) => pair(stroke, all[stroke.name], colours)),
  };
}

/** Battery charge and discharge are switched together. */
export function family(name: string): string {
  return name === "charge" || name === "discharge" ? "battery" : name;
}

function pair(
  stroke: Stroke,
  { measured, estimated }: { measured: (number | null)[]; estimated: (number | null)[] },
  colours: Palette,
) {
  const colour = colours[stroke.colour];
  const signed = (values: Values) => {
    const shown = stroke.rests ? withoutRest(values) : values;
    return shown.map((w) => (w === null ? null : w * stroke.sign));
  };
  const common = {
    type: "line",
    name: label(`curve_${stroke.name}`),
    showSymbol: false,
    connectNulls: false,
    silent: true,
    smooth: 0.25,
    smoothMonotone: "x",
  };
  return [
    {
      ...common,
      data: signed(measured),
      lineStyle: { color: colour, width: stroke.width },
      itemStyle: { color: colour },
      ...(stroke.fill > 0 && { areaStyle: { color: faded(colour, stroke.fill) } }),
    },
    {
      ...common,
      data: signed(estimated),
      lineStyle: { color: colour, width: stroke.width, type: "dashed" },
      itemStyle: { color: colour },
      ...(stroke.fill > 0 && { areaStyle: { color: hatch(colour) } }),
    },
  ];
}

function tip(day: DaySeries, all: ReturnType<typeof curves>, i: number, locale: string): string {
  const lines = [`${clock(day, i, locale)} – ${clock(day, i + 1, locale)}`];
  const quality = day.quality[i] ?? 0;
  if (quality !== 1) lines.push(label(`quality_${quality}`));
  for (const { name } of STROKES) {
    const watts = all[name].measured[i] ?? all[name].estimated[i];
    if (watts === null || watts === undefined || (watts === 0 && name !== "pv" && name !== "load")) continue;
    lines.push(`${label(`curve_${name}`)}  ${spoken(power(watts, locale))}`);
  }
  return lines.join("\n");
}

function kilowatts(watts: number, locale: string): string {
  return new Intl.NumberFormat(locale, { maximumFractionDigits: 1 }).format(Math.abs(watts) / 1_000);
}
