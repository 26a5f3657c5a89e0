import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { LockWatch } from "./lock_watch.ts";

const record = (node: string, more = {}) =>
  JSON.stringify({ nonce: "n", node, endpoint: `${node}.1`, call: "", ancestry: [], ttl: 10_000, since: 7, ...more });
const put = (key: string, value: string, revision: number) => ({ type: "put", key, value, revision }) as const;

describe("LockWatch", () => {
  it("names the holder, and those who wait in the order in which they came, also after renewals", () => {
    const watch = new LockWatch();
    watch.take(put("h/order:42", record("a"), 5));
    watch.take(put("w/order:42/x", record("b"), 6));
    watch.take(put("w/order:42/y", record("c"), 7));
    watch.take(put("w/order:42/x", record("b", { place: 6 }), 9));
    watch.take(put("leadh/billing", record("a", { token: 3 }), 8));
    const { shown, total } = watch.view(9);
    assertEquals(shown.map(({ kind, key, holder, token, waiters }) => [kind, key, holder, token, waiters]), [
      ["lock", "order:42", "a", 5, ["b", "c"]],
      ["lead", "billing", "a", 3, []],
    ]);
    assertEquals(total, 2);
  });

  it("a lock that nobody holds or waits for is not there, and neither is what is no record", () => {
    const watch = new LockWatch();
    watch.take(put("h/k", record("a"), 1));
    watch.take(put("w/k/x", record("b"), 2));
    watch.take({ type: "expire", key: "h/k", revision: 3 });
    assertEquals(watch.view(9).shown.map(({ holder, waiting }) => [holder, waiting]), [["", 1]]);
    watch.take({ type: "delete", key: "w/k/x", revision: 4 });
    for (const text of ["", "{}", "null", '{"nonce":1}']) watch.take(put("h/junk", text, 5));
    watch.take(put("something else", record("a"), 6));
    assertEquals(watch.view(9), { shown: [], total: 0 });
  });

  it("a thousand waiters are counted, and the first of them named", () => {
    const watch = new LockWatch();
    for (let n = 0; n < 1_000; n++) watch.take(put(`w/k/${n}`, record(`\x1b[2J${n}`), n + 1));
    const [{ waiting, waiters }] = watch.view(9).shown;
    assertEquals([waiting, waiters.length, waiters[0]], [1_000, 20, "\\u{1b}[2J0"]);
  });
});
