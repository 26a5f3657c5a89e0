/** Numbers and times for people. */

/** ms as `340 ms`, `7 s`, `12 m 5 s`, `3 h 20 m`, `2 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 0) return "0 s";
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const s = Math.floor(ms / 1_000);
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} m ${s % 60} s`;
  const h = Math.floor(m / 60);
  return h < 24 ? `${h} h ${m % 60} m` : `${Math.floor(h / 24)} d ${h % 24} h`;
}

/** ms of a latency: `0.4 ms`, `12 ms`, `1.2 s`. */
export function latency(ms: number | undefined): string {
  if (ms === undefined) return "-";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** `1,234`. */
export function count(n: number): string {
  return Math.round(n).toLocaleString("en-US");
}

/** A rate: `0`, `0.4`, `12`, `1,234`. */
export function rate(n: number): string {
  if (n === 0) return "0";
  return n < 10 ? n.toFixed(1) : count(n);
}

/** `14:03:22`. */
export function clock(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toLocaleTimeString("en-GB") : "";
}

/** `1 node`, `2 nodes`. */
export function some(n: number, what: string): string {
  return `${count(n)} ${what}${n === 1 ? "" : "s"}`;
}
