/** Energy per day, month or year as ECharts options: what the house used above zero, what it gave away below. */

import { energy, spoken } from "../format";
import { label } from "../labels";
import type { EChartsCoreOption } from "./echarts";
import { hatch, type Palette } from "./palette";

/** As the server writes it: Wh per step, null where nothing is known. */
export interface BarSeries {
  steps: string[]; // labels on the axis
  titles: string[]; // the same in full
  pv: (number | null)[];
  own: (number | null)[]; // production used on site, directly
  import: (number | null)[];
  export: (number | null)[];
  charge: (number | null)[];
  discharge: (number | null)[];
  estimated: boolean[];
}

type BarName = "own" | "discharge" | "import" | "export" | "charge";

const BARS: { name: BarName; colour: keyof Palette; sign: 1 | -1 }[] = [
  { name: "own", colour: "own", sign: 1 },
  { name: "discharge", colour: "battery", sign: 1 },
  { name: "import", colour: "import", sign: 1 },
  { name: "export", colour: "export", sign: -1 },
  { name: "charge", colour: "battery", sign: -1 },
];

export function barOptions(bars: BarSeries, colours: Palette, locale: string): EChartsCoreOption {
  const used = BARS.filter(({ name }) => bars[name].some((wh) => wh !== null && wh > 0));
  return {
    animation: false,
    textStyle: { fontFamily: colours.font },
    grid: { left: 4, right: 8, top: 30, bottom: 4, containLabel: true },
    tooltip: {
      trigger: "axis",
      renderMode: "richText",
      confine: true,
      backgroundColor: colours.surface,
      borderColor: colours.line,
      textStyle: { color: colours.ink, fontSize: 13, lineHeight: 20 },
      axisPointer: { type: "shadow" },
      formatter: (points: { dataIndex: number }[]) => tip(bars, points[0]?.dataIndex ?? 0, locale),
    },
    xAxis: {
      type: "category",
      data: bars.steps,
      axisLine: { onZero: true, lineStyle: { color: colours.muted } },
      axisTick: { show: false },
      axisLabel: { color: colours.muted, fontSize: 12, hideOverlap: true },
    },
    yAxis: {
      type: "value",
      name: "kWh",
      nameTextStyle: { color: colours.muted, fontSize: 12, align: "right" },
      splitNumber: 4,
      axisLabel: { color: colours.muted, fontSize: 12, formatter: (wh: number) => kilowattHours(wh, locale) },
      splitLine: { lineStyle: { color: colours.line } },
    },
    series: used.map(({ name, colour, sign }) => ({
      type: "bar",
      stack: "energy",
      name: label(`bar_${name}`),
      barMaxWidth: 36,
      data: bars[name].map((wh, i) => ({
        value: wh === null ? null : wh * sign,
        itemStyle: {
          color: bars.estimated[i] ? hatch(colours[colour]) : colours[colour],
          borderColor: colours.surface, // neighbours stay apart without their colours
          borderWidth: 1,
        },
      })),
    })),
  };
}

function tip(bars: BarSeries, i: number, locale: string): string {
  const lines = [bars.titles[i] ?? ""];
  if (bars.estimated[i]) lines.push(label("quality_2"));
  const row = (key: string, wh: number | null | undefined) => {
    if (wh !== null && wh !== undefined) lines.push(`${label(key)}  ${spoken(energy(wh, locale))}`);
  };
  row("curve_pv", bars.pv[i]);
  for (const { name } of BARS) if (bars[name].some((wh) => wh)) row(`bar_${name}`, bars[name][i]);
  if (lines.length === 1) lines.push(label("quality_0"));
  return lines.join("\n");
}

function kilowattHours(wh: number, locale: string): string {
  return new Intl.NumberFormat(locale, { maximumFractionDigits: 1 }).format(Math.abs(wh) / 1_000);
}
