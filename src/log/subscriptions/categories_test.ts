import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { NamedLimit } from "../../contract/nodes/announcement.ts";
import { endOf, positionOf } from "../format/group_text.ts";
import { Categories } from "./categories.ts";
import type { Category } from "./category.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";

const SPEC = {
  service: "shop",
  name: "billing",
  categories: new Map([["Placed", { ...DEFAULT_SETTINGS, attempts: 3, timeout: 60_000 }]]),
};

const capable = (id: string, ...categories: string[]) => ({
  id,
  endpoint: `${id}.1`,
  categories: new Map(categories.map((category) => [category, DEFAULT_SETTINGS])),
});

describe("Categories", () => {
  it("a category has the settings of this node's handlers, and the defaults if it has none", () => {
    const categories = new Categories(SPEC, { Placed: endOf(5), Newer: 0 }, 30_000);
    assertEquals(categories.patience, 30_000);
    assertEquals(categories.of("Placed").attempts, 3);
    assertEquals(categories.of("Newer").attempts, DEFAULT_SETTINGS.attempts);
    assertEquals(categories.of("Placed"), categories.of("Placed"));
    // the limit is generous, because only the node with the newer version knows how long its handler may take
    assertEquals(categories.patience, categories.of("Newer").timeout);
  });

  it("has the most patient retry of this node's handlers, and of what other nodes announce, while they do", () => {
    const categories = new Categories(SPEC, { Placed: 0, Newer: 0 }, 30_000);
    const newer = categories.of("Newer");
    const node = (attempts: number, ...delay: [number, number]) => ({
      ...capable(`n${attempts}`),
      categories: new Map(["Placed", "Newer"].map((name) => [name, { attempts, delay }])),
    });
    categories.refresh([node(20, 5, 60), node(15, 5, 70)]);
    assertEquals([newer.attempts, newer.delay, newer.capable], [20, [5, 70], 2]);
    assertEquals(categories.of("Placed").attempts, 20);
    categories.refresh([]);
    assertEquals([newer.attempts, newer.capable], [20, 0]);
    assertEquals(categories.of("Placed").attempts, 3);
  });

  it("has the smallest numbers of each limit that this node or another one has, and keeps its slots", () => {
    const limit = (name: string, running: number) => ({ name, running, count: Infinity, ms: Infinity, burst: 1 });
    const settings = { ...DEFAULT_SETTINGS, limits: [limit("bank", 5), limit("", 4)] };
    const spec = {
      ...SPEC,
      categories: new Map([["Placed", settings], ["Paid", { ...settings, limits: [limit("bank", 2)] }]]),
    };
    const categories = new Categories(spec, { Placed: 0, Paid: 0, Newer: 0 }, 30_000);
    const [placed, paid, newer] = ["Placed", "Paid", "Newer"].map((name) => categories.of(name));
    const ids = (category: Category) => category.limits?.map(({ limit: { id } }) => id);
    assertEquals(ids(placed), ["Placed/1", "bank"]);
    assertEquals([paid.limits?.[0].limit === placed.limits?.[1].limit, newer.limits], [true, undefined]);
    const { limits } = placed;
    const [own, bank] = limits!.map(({ limit }) => limit.gateOf("", 0));
    for (const gate of [own, bank, bank]) gate.take(0);
    assertEquals([own.isFull, bank.isFull], [false, true]);
    const other = (limits: readonly ReturnType<typeof limit>[]) => ({
      ...capable("other"),
      categories: new Map([["Newer", { ...DEFAULT_SETTINGS, limits }], ["Placed", {
        ...DEFAULT_SETTINGS,
        limits: [],
      }]]),
    });
    categories.refresh([other([limit("bank", 9), limit("slow", 1)])]);
    assertEquals([ids(newer), bank.isFull, bank.running], [["bank", "slow"], true, 2]);
    assertEquals(placed.limits === limits, true);
    categories.refresh([]);
    assertEquals(newer.limits, undefined);
  });

  it("has no more of them than a commit may have", () => {
    const categories = new Categories(SPEC, { Placed: 0 }, 30_000);
    const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`C${i}`, 7]));
    assertEquals([categories.add(many, 0), Object.keys(categories.began).length], [true, 1_024]);
    assertEquals([categories.add({ More: 0 }, 0), Object.keys(categories.began).length], [false, 1_024]);
  });

  it("one that is added begins where it says, but not behind what was read: nothing is read again", () => {
    const categories = new Categories(SPEC, { Placed: endOf(2), Paid: endOf(30) }, 1_000);
    assertEquals(categories.add({ Placed: 0 }, endOf(20)), false);
    assertEquals(categories.add({ Placed: 0, Sent: endOf(4), Late: endOf(25) }, endOf(20)), true);
    assertEquals(categories.began, { Placed: endOf(2), Paid: endOf(30), Sent: endOf(20), Late: endOf(25) });
  });

  it("those that begin behind the end of the log begin behind what was read", () => {
    const categories = new Categories(SPEC, { Placed: endOf(100), Paid: endOf(10), Sent: endOf(99) }, 1_000);
    categories.of("Placed");
    assertEquals(categories.limit(endOf(10), endOf(7)), ["Placed", "Sent"]);
    assertEquals(categories.began, { Placed: endOf(7), Paid: endOf(10), Sent: endOf(7) });
    assertEquals(categories.limit(endOf(10), endOf(7)), []);
  });

  it("passes messages up to where a category begins; after a reset no message is known, of categories that were met and of those that were not", () => {
    const categories = new Categories(SPEC, { Placed: endOf(5), Paid: endOf(5) }, 1_000);
    categories.of("Placed");
    const message = { key: "a", id: "i", payload: 0, tagged: false, meta: undefined, time: 0 };
    const passed = (...positions: number[]) =>
      positions.flatMap((position) =>
        ["Placed", "Paid", "Other"].filter((category) => categories.passes({ ...message, category, position }))
      );
    assertEquals(passed(endOf(5), positionOf(6, 0)), ["Placed", "Paid"]);
    categories.reset();
    assertEquals(passed(positionOf(1, 0)), []);
    assertEquals(categories.began, { Placed: 0, Paid: 0 });
  });

  it("counts the nodes of each category, also of one that is met later; the window grows with the nodes up to 8,192", () => {
    const categories = new Categories(SPEC, { Placed: 0, Paid: 0 }, 1_000);
    categories.of("Placed");
    assertEquals(categories.window, 1_024);
    categories.refresh([capable("a", "Placed", "Paid"), capable("b", "Placed")]);
    assertEquals([categories.of("Placed").capable, categories.of("Paid").capable], [2, 1]);
    assertEquals(categories.window, 2_048);
    categories.refresh(Array.from({ length: 20 }, (_, n) => capable(`${n}`, "Paid")));
    assertEquals([categories.of("Placed").capable, categories.of("Paid").capable], [0, 20]);
    assertEquals(categories.window, 8_192);
    categories.refresh([]);
    assertEquals(categories.window, 1_024);
  });

  it("a limit by key is another one than that of all with its name; its function is this node's, and the window is wide", () => {
    const numbers = { running: 5, count: Infinity, ms: Infinity, burst: 1 };
    const key = (payload: { account: string }) => payload.account;
    const byKey = { ...numbers, name: "", isByKey: true, key } as const;
    const spec = (...limits: readonly NamedLimit[]) => ({
      ...SPEC,
      categories: new Map([["Placed", { ...DEFAULT_SETTINGS, limits }]]),
    });
    const announced = (limits: readonly NamedLimit[]) => ({
      ...capable("b"),
      categories: new Map([["Placed", { ...DEFAULT_SETTINGS, limits }]]),
    });
    const [older, newer] = [spec({ ...numbers, name: "", running: 8 }), spec(byKey)].map((each) => {
      const categories = new Categories(each, { Placed: 0 }, 1_000);
      const other = each.categories.get("Placed")!.limits[0].isByKey ? { ...numbers, name: "", running: 8 } : byKey;
      categories.refresh([announced([{ ...other, key: undefined }])]);
      return categories;
    });
    const shown = ({ limits = [] }: Category) => limits.map(({ limit: { id }, key }) => [id, key]);
    assertEquals(shown(newer.of("Placed")), [["Placed/0", undefined], ["Placed/0 by key", key]]);
    // the version without the function counts all messages as of one key
    assertEquals(shown(older.of("Placed")), [["Placed/0", undefined], ["Placed/0 by key", undefined]]);
    assertEquals([newer.window, older.window], [65_536, 65_536]);
    older.refresh([]);
    assertEquals(older.window, 1_024);
  });

  it("has what the record names, not what it was asked for", () => {
    const categories = new Categories(SPEC, { Placed: 0 }, 1_000);
    categories.of("Paid");
    assertEquals(Object.keys(categories.began), ["Placed"]);
    assertEquals([...categories.all.keys()], ["Paid"]);
  });
});
