import { describe, it } from "node:test";
import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import type { BucketStream } from "./bucket_stream.ts";
import type { StreamWrite } from "./jetstream.ts";
import { JetStreamRefusal } from "./jetstream_refusal.ts";
import type { StreamRecord } from "./stream_record.ts";
import { type Removal, remove } from "./removal.ts";

const FULL = new JetStreamRefusal("full", "no space left on device");

/** The answers of the fake server, in order. */
interface Answers {
  /** Answers to writes of markers: the new revision; `undefined` if the key is at another revision; or an error. */
  readonly writes: readonly (number | undefined | Error)[];
  /** Answers to requests for the last message of the key. */
  readonly last?: readonly (Partial<StreamRecord> | undefined)[];
  /** Answers to erasures: true if the store had such a message. */
  readonly erased?: readonly boolean[];
}

/**
 * Removes a key from a fake stream of a bucket. Returns the requests that the stream got, and the headers and data of
 * the markers.
 */
function removeFrom({ writes, last = [], erased = [] }: Answers, removal: Partial<Removal>) {
  const answers = { writes: [...writes], last: [...last], erased: [...erased] };
  const requests: string[] = [];
  const headers: Readonly<Record<string, string>>[] = [];
  const data: string[] = [];
  const stream = {
    name: "KV_b",
    prefix: "$KV.b.",
    attempt: (work: (limit: number) => unknown) => work(1_000),
    write(subject: string, text: string, { ttl = "none", expected, headers: own }: StreamWrite) {
      requests.push(`write ${subject} at ${expected ?? "any"}`);
      headers.push({ ...own, "Nats-TTL": ttl });
      data.push(text);
      const answer = answers.writes.shift();
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
    js: {
      last(name: string, subject: string) {
        requests.push(`last ${name} ${subject}`);
        return Promise.resolve(answers.last.shift());
      },
      erase(name: string, revision: number) {
        requests.push(`erase ${name} ${revision}`);
        return Promise.resolve(answers.erased.shift());
      },
    },
  } as unknown as BucketStream; // cast: the only members that `remove` uses
  return { removed: remove(stream, { subject: "a", ...removal }), requests, headers, data };
}

describe("remove", () => {
  it("writes a marker that expires after 1 s and replaces the entry, at its revision or at any", async () => {
    const at = removeFrom({ writes: [9] }, { revision: 7 });
    assertEquals({ removed: await at.removed, requests: at.requests }, {
      removed: { marker: 9 },
      requests: ["write a at 7"],
    });
    assertEquals(at.headers, [{ "KV-Operation": "PURGE", "Nats-Rollup": "sub", "Nats-TTL": "1s" }]);
    const any = removeFrom({ writes: [9] }, {});
    assertEquals({ removed: await any.removed, requests: any.requests }, {
      removed: { marker: 9 },
      requests: ["write a at any"],
    });
  });

  it("an entry whose ttl was over gets a marker that watches report as an expiry; that of a hashed subject has the key", async () => {
    const { removed, headers, data } = removeFrom({ writes: [9] }, { expired: true, subject: "==h", key: "k" });
    await removed;
    assertEquals(headers, [{ "Nats-Marker-Reason": "MaxAge", "Nats-Rollup": "sub", "Nats-TTL": "1s" }]);
    assertEquals(data, ['"k"\n']);
  });

  it("a key at another revision is undefined, and nothing is erased", async () => {
    const written = removeFrom({ writes: [undefined] }, { revision: 7 });
    assertEquals({ removed: await written.removed, requests: written.requests }, {
      removed: undefined,
      requests: ["write a at 7"],
    });
    for (const last of [{ type: "put", revision: 8 } as const, undefined]) {
      const full = removeFrom({ writes: [FULL], last: [last] }, { revision: 7 });
      assertEquals({ removed: await full.removed, requests: full.requests }, {
        removed: undefined,
        requests: ["write a at 7", "last KV_b $KV.b.a"],
      });
    }
  });

  it("a full store: erases the entry, and writes a marker unless the key was written again", async () => {
    for (const [marker, expected] of [[9, { marker: 9 }], [undefined, {}], [FULL, {}]] as const) {
      const { removed, requests } = removeFrom({
        writes: [FULL, marker],
        last: [{ type: "put", revision: 7 }],
        erased: [true],
      }, { revision: 7 });
      assertEquals(await removed, expected);
      assertEquals(requests, ["write a at 7", "last KV_b $KV.b.a", "erase KV_b 7", "write a at 0"]);
    }
  });

  it("a full store, any revision: an entry that was written again meanwhile is erased at its new revision", async () => {
    const { removed, requests } = removeFrom({
      writes: [FULL, FULL],
      last: [{ type: "put", revision: 7 }, { type: "put", revision: 8 }],
      erased: [false, true],
    }, {});
    assertEquals(await removed, {});
    assertEquals(requests.filter((request) => request.startsWith("erase")), ["erase KV_b 7", "erase KV_b 8"]);
  });

  it("a full store: a key without an entry, or with a marker, is removed already", async () => {
    for (const last of [undefined, { type: "delete", revision: 7 } as const]) {
      const { removed, requests } = removeFrom({ writes: [FULL, FULL], last: [last] }, {});
      assertEquals(await removed, {});
      assertEquals(requests, ["write a at any", "last KV_b $KV.b.a", "write a at 0"]);
    }
  });

  it("rejects with every other refusal, of either marker", async () => {
    const silent = new JetStreamRefusal("no answer", "timed out");
    const first = removeFrom({ writes: [silent] }, {});
    assertStrictEquals(await assertRejects(() => first.removed), silent);
    const second = removeFrom({ writes: [FULL, silent] }, {});
    assertStrictEquals(await assertRejects(() => second.removed), silent);
    assertEquals(first.requests.length, 1);
  });
});
