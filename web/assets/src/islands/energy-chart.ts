/**
 * <energy-chart data-kind="day|bars|readings" data-series="…">: a day's curve, the bars of a longer time, or a file's readings.
 *
 * The table beside it holds the same figures and stays when this cannot run. Buttons with data-curve switch curves on and off.
 */

import type { BarSeries } from "../chart/bar-options";
import type { ECharts, EChartsCoreOption } from "../chart/echarts";
import { palette } from "../chart/palette";
import type { ReadingSeries } from "../chart/reading-options";
import type { DaySeries } from "../day";
import { numberLocale } from "../labels";

const NARROW_PX = 520;

class EnergyChart extends HTMLElement {
  private static readonly hidden = new Set<string>(); // outlives the element: the next day shows the same curves
  private chart: ECharts | undefined;
  private readonly resize = new ResizeObserver(() => {
    this.chart?.resize();
    void this.draw();
  });
  private readonly darkness = matchMedia("(prefers-color-scheme: dark)");
  private readonly redraw = () => void this.draw();

  connectedCallback(): void {
    this.darkness.addEventListener("change", this.redraw);
    for (const button of this.buttons()) {
      button.setAttribute("aria-pressed", String(!EnergyChart.hidden.has(button.dataset.curve ?? "")));
      button.addEventListener("click", () => this.toggle(button));
    }
    this.resize.observe(this);
  }

  disconnectedCallback(): void {
    this.darkness.removeEventListener("change", this.redraw);
    this.resize.disconnect();
    this.chart?.dispose();
    this.chart = undefined;
  }

  private async draw(): Promise<void> {
    const { init } = await import("../chart/echarts");
    const canvas = this.querySelector<HTMLElement>("[data-canvas]");
    if (!this.isConnected || canvas === null || this.clientWidth === 0) return;
    const options = await this.options();
    this.chart ??= init(canvas);
    this.chart.setOption(options, { notMerge: true });
    this.dataset.drawn = "yes";
  }

  private async options(): Promise<EChartsCoreOption> {
    const series: unknown = JSON.parse(this.dataset.series ?? "{}");
    if (this.dataset.kind === "bars") {
      const { barOptions } = await import("../chart/bar-options");
      return barOptions(series as BarSeries, palette(), numberLocale());
    }
    if (this.dataset.kind === "readings") {
      const { readingOptions } = await import("../chart/reading-options");
      return readingOptions(series as ReadingSeries, palette(), numberLocale(), EnergyChart.hidden);
    }
    const { dayOptions } = await import("../chart/day-options");
    return dayOptions(series as DaySeries, palette(), numberLocale(), this.clientWidth < NARROW_PX, EnergyChart.hidden);
  }

  private toggle(button: HTMLButtonElement): void {
    const name = button.dataset.curve ?? "";
    if (!EnergyChart.hidden.delete(name)) EnergyChart.hidden.add(name);
    button.setAttribute("aria-pressed", String(!EnergyChart.hidden.has(name)));
    void this.draw();
  }

  private buttons(): NodeListOf<HTMLButtonElement> {
    return this.querySelectorAll<HTMLButtonElement>("button[data-curve]");
  }
}

customElements.define("energy-chart", EnergyChart);
