/** Swiping over the energy section and pressing ← or → in it goes to the period before and after, as its links do. */

const SWIPE_PX = 60;

let start: { x: number; y: number } | undefined;

function go(from: EventTarget | null, direction: "previous" | "next"): void {
  const section = from instanceof Element ? from.closest("[data-periods]") : null;
  section?.querySelector<HTMLAnchorElement>(`a[data-go="${direction}"]`)?.click();
}

document.addEventListener(
  "touchstart",
  (event) => {
    const touch = event.touches.length === 1 ? event.touches[0] : undefined;
    start = touch && { x: touch.clientX, y: touch.clientY };
  },
  { passive: true },
);

document.addEventListener(
  "touchend",
  (event) => {
    const touch = event.changedTouches[0];
    if (start === undefined || touch === undefined) return;
    const dx = touch.clientX - start.x;
    const dy = touch.clientY - start.y;
    start = undefined;
    if (Math.abs(dx) > SWIPE_PX && Math.abs(dx) > 2 * Math.abs(dy)) go(event.target, dx > 0 ? "previous" : "next");
  },
  { passive: true },
);

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target instanceof HTMLInputElement) return;
  if (event.key === "ArrowLeft") go(event.target, "previous");
  if (event.key === "ArrowRight") go(event.target, "next");
});
