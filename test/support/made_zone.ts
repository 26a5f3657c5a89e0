/** Time zones that a test makes: one change of clocks at a time of its choice, for Catga and for a nats-server. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ZoneClock } from "../../src/data/zone_clock.ts";

/** A time zone whose offset to UTC (ms) is `before` until the time `change`, and then `after`. */
export interface MadeZone {
  readonly name: string;
  readonly before: number;
  readonly change: number;
  readonly after: number;
}

/** Returns the clock of a made zone. */
export function madeClock({ before, change, after }: MadeZone): ZoneClock {
  return {
    offset: (time) => time < change ? before : after,
    changeAfter: (time, limit) => time < change && change < limit ? change : undefined,
  };
}

/** Writes a made zone to a folder, which is the time zone database of a nats-server with the variable `ZONEINFO`. */
export async function writeZone(folder: string, { name, before, change, after }: MadeZone): Promise<void> {
  await mkdir(join(folder, name, ".."), { recursive: true });
  // RFC 9636, version 1: one transition, two types of local time, and their names
  const [header, body] = [44, 4 + 1 + 2 * 6 + 8];
  const data = new DataView(new ArrayBuffer(header + body));
  for (const [i, letter] of [..."TZif"].entries()) data.setUint8(i, letter.charCodeAt(0));
  for (const [i, count] of [0, 0, 0, 1, 2, 8].entries()) data.setUint32(20 + i * 4, count);
  data.setInt32(header, change / 1_000);
  data.setUint8(header + 4, 1);
  for (const [i, offset] of [before, after].entries()) {
    data.setInt32(header + 5 + i * 6, offset / 1_000);
    data.setUint8(header + 5 + i * 6 + 5, i * 4);
    for (const n of [0, 1, 2]) data.setUint8(header + 17 + i * 4 + n, "AB".charCodeAt(i));
  }
  await writeFile(join(folder, name), new Uint8Array(data.buffer));
}
