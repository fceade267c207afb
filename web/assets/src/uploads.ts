/** Sending one file as it is, with its progress: XMLHttpRequest, since fetch does not tell how far a body is. */

export type Sent =
  | { kind: "done"; id: string }
  | { kind: "refused"; detail: string } // sending it again changes nothing
  | { kind: "signed_out" }
  | { kind: "cut" } // the network, or a server that is busy: worth another try
  | { kind: "stopped" };

export interface Sending {
  readonly result: Promise<Sent>;
  stop(): void;
}

export function send(address: string, file: File, onProgress: (share: number) => void): Sending {
  const request = new XMLHttpRequest();
  const result = new Promise<Sent>((resolve) => {
    request.open("POST", address);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => onProgress(share(event.loaded, file.size)));
    request.addEventListener("load", () => resolve(outcome(request.status, request.responseText)));
    request.addEventListener("error", () => resolve({ kind: "cut" }));
    request.addEventListener("timeout", () => resolve({ kind: "cut" }));
    request.addEventListener("abort", () => resolve({ kind: "stopped" }));
    request.send(file);
  });
  return { result, stop: () => request.abort() };
}

export function share(loaded: number, size: number): number {
  return size > 0 ? Math.min(1, loaded / size) : 1;
}

/** What the server's answer means. */
export function outcome(status: number, body: string): Sent {
  const answer = parsed(body);
  if (status === 202 && typeof answer.id === "string") return { kind: "done", id: answer.id };
  if (status === 401) return { kind: "signed_out" };
  if (status === 0 || status === 408 || status === 429 || status >= 500) {
    return answer.code === "no_space" || answer.code === "no_intake" ? refused(answer) : { kind: "cut" };
  }
  return refused(answer);
}

function refused(answer: Record<string, unknown>): Sent {
  return { kind: "refused", detail: typeof answer.detail === "string" ? answer.detail : "" };
}

function parsed(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

export function address(site: string, name: string, device: string): string {
  const query = new URLSearchParams({ name });
  if (device !== "") query.set("device", device);
  return `/api/v1/sites/${encodeURIComponent(site)}/imports?${query}`;
}
