/**
 * <energy-flow src="…/events">: the server's drawing of sun, house, grid and battery, kept up to date.
 *
 * Dots run along each link as fast as its power is great; where the reader wants no motion, the link is thicker instead.
 */

import { listen } from "../feed";
import { dotPace, LINKS, type PowerFlow, splitFlow } from "../flow";
import { percent, power } from "../format";
import { label, numberLocale } from "../labels";
import type { SiteLive } from "../live";

const SLOWEST_MS = 9_000; // for one dash pattern at pace 1
const DASH_PX = 24; // the period of stroke-dasharray in flow.css

const NODES = {
  pv: "pv_power_w",
  grid: "grid_power_w",
  load: "load_power_w",
  battery: "battery_power_w",
} as const;

class EnergyFlow extends HTMLElement {
  private readonly motions = new Map<string, Animation>();
  private readonly calm = matchMedia("(prefers-reduced-motion: reduce)");
  private stop: (() => void) | undefined;

  connectedCallback(): void {
    const first = this.dataset.flow;
    if (first) this.show(JSON.parse(first) as Partial<PowerFlow>);
    const address = this.getAttribute("src");
    if (address) this.stop = listen(address, "live", { message: (data) => this.show((data as SiteLive).flow) });
  }

  disconnectedCallback(): void {
    this.stop?.();
    for (const motion of this.motions.values()) motion.cancel();
    this.motions.clear();
  }

  private show(partial: Partial<PowerFlow>): void {
    const flow: PowerFlow = {
      pv_power_w: partial.pv_power_w ?? null,
      grid_power_w: partial.grid_power_w ?? null,
      battery_power_w: partial.battery_power_w ?? null,
      load_power_w: partial.load_power_w ?? null,
      battery_soc_pct: partial.battery_soc_pct ?? null,
    };
    for (const [node, field] of Object.entries(NODES)) this.showNode(node, flow[field]);
    this.showDirection("grid", flow.grid_power_w, "grid_import", "grid_export", "grid");
    this.showDirection("battery", flow.battery_power_w, "battery_charge", "battery_discharge", "battery");
    const charge = this.querySelector("[data-soc]");
    if (charge && flow.battery_soc_pct !== null)
      charge.textContent = percent(flow.battery_soc_pct / 100, numberLocale());
    const links = splitFlow(flow);
    for (const link of LINKS) this.move(link, links[link]);
  }

  private showNode(node: string, powerW: number | null): void {
    const value = this.querySelector<HTMLElement>(`[data-node="${node}"] [data-value]`);
    if (value === null) return;
    const figure = power(powerW === null ? null : Math.abs(powerW), numberLocale());
    value.querySelector("[data-number]")?.replaceChildren(figure.text);
    value.querySelector("[data-unit]")?.replaceChildren(figure.unit);
    value.dataset.watts = powerW === null ? "" : String(Math.round(powerW));
  }

  private showDirection(node: string, powerW: number | null, plus: string, minus: string, still: string): void {
    const name = this.querySelector(`[data-node="${node}"] [data-name]`);
    if (name === null) return;
    const resting = powerW === null || Math.abs(powerW) < 15;
    name.textContent = label(resting ? still : powerW > 0 ? plus : minus);
  }

  private move(link: string, powerW: number): void {
    const path = this.querySelector<SVGPathElement>(`[data-link="${link}"]`);
    if (path === null) return;
    const pace = dotPace(powerW);
    path.toggleAttribute("data-active", pace > 0);
    path.style.strokeWidth = this.calm.matches && pace > 0 ? String(2 + pace) : "";
    if (this.calm.matches) return;
    let motion = this.motions.get(link);
    if (motion === undefined) {
      motion = path.animate([{ strokeDashoffset: DASH_PX * 6 }, { strokeDashoffset: 0 }], {
        duration: SLOWEST_MS,
        iterations: Number.POSITIVE_INFINITY,
      });
      this.motions.set(link, motion);
    }
    motion.updatePlaybackRate(pace);
  }
}

customElements.define("energy-flow", EnergyFlow);
