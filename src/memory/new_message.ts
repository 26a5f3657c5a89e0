/** A message on its way into a stream in memory, with the headers that it has on NATS. */
import type { AppendOptions, LogSchedule } from "../ports/event_log.ts";
import { checkAppend, ttlSeconds } from "../ports/log_checks.ts";

/** A message to be stored. */
export interface NewMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly id?: string | undefined;
  /** How long it stays, in seconds. */
  readonly seconds?: number | undefined;
  readonly expect?: number | undefined;
  readonly rollup?: boolean | undefined;
  readonly schedule?: LogSchedule | undefined;
}

const encoder = new TextEncoder();

/** Throws as `LogStream.append`. */
export function newMessage(subject: string, data: string | Uint8Array, options: AppendOptions): NewMessage {
  checkAppend(subject, options);
  const { id, ttl, expect, rollup, schedule } = options;
  const headers = Object.fromEntries(
    Object.entries(options.headers ?? {}).map(([name, value]) => [name, value.trim()]),
  );
  const set = (name: string, value: string | undefined) => {
    if (value !== undefined) headers[name] = value;
  };
  const seconds = ttl === undefined ? undefined : ttlSeconds(ttl);
  set("Nats-Msg-Id", id);
  set("Nats-TTL", seconds === undefined ? undefined : `${seconds}s`);
  set("Nats-Expected-Last-Subject-Sequence", expect?.toString());
  set("Nats-Rollup", rollup || schedule ? "sub" : undefined);
  if (schedule) {
    const { at, zone, target } = schedule;
    set("Nats-Schedule", typeof at === "number" ? `@at ${new Date(at).toISOString()}` : at);
    set("Nats-Schedule-Time-Zone", typeof at === "number" ? undefined : zone);
    set("Nats-Schedule-Target", target);
    set("Nats-Schedule-TTL", schedule.ttl === undefined ? undefined : `${ttlSeconds(schedule.ttl)}s`);
  }
  return {
    subject,
    data: typeof data === "string" ? encoder.encode(data) : new Uint8Array(data),
    headers: Object.keys(headers).length === 0 ? undefined : Object.freeze(headers),
    id,
    seconds,
    expect,
    rollup,
    schedule,
  };
}

/** The size of a message in bytes, with its headers as NATS writes them. */
export function messageSize({ data, headers }: NewMessage): number {
  if (!headers) return data.length;
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return data.length + encoder.encode(`NATS/1.0\r\n${lines.join("")}\r\n`).length;
}
