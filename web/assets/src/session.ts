/** Keeps the signed-in person signed in while a page is open: the access token lasts a quarter of an hour. */

const RENEW_AFTER_MS = 10 * 60_000;
const CHECK_MS = 30_000;

let renewedAt = Date.now();
let running: Promise<void> | undefined;

/** A new access token, in its cookie. Many askers at once make one request. */
export function renew(): Promise<void> {
  running ??= fetch("/api/v1/auth/refresh", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  })
    .then((answer) => {
      if (answer.ok) renewedAt = Date.now();
    })
    .catch(() => undefined) // offline: the next check tries again
    .finally(() => {
      running = undefined;
    });
  return running;
}

function check(): void {
  if (document.visibilityState === "visible" && Date.now() - renewedAt > RENEW_AFTER_MS) void renew();
}

export function keepSession(): void {
  if (document.body.dataset.signedIn === undefined) return;
  setInterval(check, CHECK_MS);
  document.addEventListener("visibilitychange", check);
}

/** Who is signed in on this page; '' when nobody is. */
export function person(): string {
  return document.body.dataset.signedIn ?? "";
}
